from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import shutil
import signal
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard

from meshroom_tasks.errors import BundleCorrupt, HandoffIncomplete
from meshroom_tasks.handoff import Packed, is_worth_compressing, pack, unpack
from meshroom_tasks.handoff.bundle_streams import BLOCK
from meshroom_tasks.handoff.disk import Syncing
from tests.handoff.conftest import files_of


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pack(folder: Path, bundle: Path, **options: Any) -> Packed:
    with bundle.open("wb") as target:
        return pack(folder, target, **options)


def test_there_and_back(stage: Path, tmp_path: Path) -> None:
    moved: list[int] = []
    packed = _pack(stage, tmp_path / "b", progress=moved.append)
    assert packed.files == 6
    assert packed.size == (tmp_path / "b").stat().st_size < 2000
    assert packed.digest == _sha256(tmp_path / "b")
    assert sum(moved) == sum(map(len, files_of(stage).values()))
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest, progress=moved.append)
    assert files_of(tmp_path / "out") == files_of(stage)
    assert not list(tmp_path.glob(".*")), "a temporary folder is left"


def test_a_plain_bundle_is_a_plain_tar(stage: Path, tmp_path: Path) -> None:
    packed = _pack(stage, tmp_path / "b", compress=False)
    assert packed.size == (tmp_path / "b").stat().st_size > sum(map(len, files_of(stage).values()))
    assert packed.digest == _sha256(tmp_path / "b")
    with tarfile.open(tmp_path / "b", "r:") as archive:
        assert archive.getnames() == sorted(files_of(stage))
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    assert files_of(tmp_path / "out") == files_of(stage)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({}, True),
        ({"empty": 0}, True),
        ({"a.exr": 1000, "0.log": 50}, False),
        ({"a.EXR": 300, "b.jpg": 300, "sub/c.npz": 300, "x.obj": 90}, False),
        ({"a.exr": 800, "mesh.obj": 200}, True),
        ({"features.desc": 1000}, True),
        ({"exr": 1000}, True),
    ],
)
def test_only_what_is_not_compressed_yet_is_worth_compressing(
    tmp_path: Path, sizes: dict[str, int], expected: bool
) -> None:
    (tmp_path / "sub").mkdir()
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    assert is_worth_compressing(tmp_path) is expected


def test_equal_folders_give_equal_bundles(stage: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name, content in reversed(files_of(stage).items()):
        (other / name).parent.mkdir(exist_ok=True)
        (other / name).write_bytes(content)
        (other / name).chmod(0o700)
        os.utime(other / name, (1e9, 1e9))
    assert _pack(stage, tmp_path / "a") == _pack(other, tmp_path / "b")
    (other / "empty").write_text("not any more")
    assert _pack(stage, tmp_path / "a").digest != _pack(other, tmp_path / "b").digest


def test_long_and_foreign_names(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / ("d" * 120)).mkdir(parents=True)
    (folder / ("d" * 120) / ("ü" * 100)).write_text("x")
    packed = _pack(folder, tmp_path / "b")
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    assert files_of(tmp_path / "out") == files_of(folder)


@pytest.mark.parametrize("compress", [True, False])
def test_files_that_end_where_blocks_end(tmp_path: Path, compress: bool) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, size in enumerate((0, 1, 511, 512, 513, BLOCK - 512, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7)):
        (folder / f"{number}.bin").write_bytes(os.urandom(size))
    packed = _pack(folder, tmp_path / "b", compress=compress)
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    assert files_of(tmp_path / "out") == files_of(folder)


@pytest.mark.parametrize("compress", [True, False])
def test_unpacking_that_is_stopped_leaves_neither_files_nor_threads(tmp_path: Path, compress: bool) -> None:
    class Enough(Exception):
        pass

    def stop(size: int) -> None:
        moved.append(size)
        if sum(moved) > 5 * BLOCK:
            raise Enough

    folder, moved = tmp_path / "in", list[int]()
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.bin").write_bytes(os.urandom(BLOCK // 4))
    packed = _pack(folder, tmp_path / "b", compress=compress)
    with pytest.raises(Enough):
        unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "in"]
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith(("bundle-hash", "sync"))] == []


def test_what_cannot_be_written_to_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"content")
    with pytest.raises(FileNotFoundError), Syncing() as syncing:
        for name in ("there", "gone", "there"):
            syncing.add(tmp_path / name)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    packed = _pack(tmp_path / "in", tmp_path / "b")
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    assert (tmp_path / "out").is_dir()


def test_missing_folder_and_links_are_refused(stage: Path, tmp_path: Path) -> None:
    with pytest.raises(HandoffIncomplete):
        _pack(tmp_path / "nothing", tmp_path / "b")
    (stage / "link").symlink_to("/etc/hostname")
    with pytest.raises(HandoffIncomplete):
        _pack(stage, tmp_path / "b")


def test_unpacking_twice_keeps_the_first(stage: Path, tmp_path: Path) -> None:
    packed = _pack(stage, tmp_path / "b")
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    before = (tmp_path / "out" / "empty").stat().st_ino
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    assert (tmp_path / "out" / "empty").stat().st_ino == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data + b"\0",
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: b"no bundle at all",
        lambda data: zstandard.compress(b"no tar at all"),
    ],
)
@pytest.mark.parametrize("compress", [True, False])
def test_damage_is_found(stage: Path, tmp_path: Path, damage: Any, compress: bool) -> None:
    packed = _pack(stage, tmp_path / "b", compress=compress)
    (tmp_path / "b").write_bytes(damage((tmp_path / "b").read_bytes()))
    with pytest.raises(BundleCorrupt):
        unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_sound_bundle_with_another_digest_is_refused(stage: Path, tmp_path: Path) -> None:
    _pack(stage, tmp_path / "b")
    with pytest.raises(BundleCorrupt):
        unpack(tmp_path / "b", tmp_path / "out", digest="0" * 64)
    assert not (tmp_path / "out").exists()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = size
    member.linkname = link
    return member


@pytest.mark.parametrize(
    "members",
    [
        [_member("../evil")],
        [_member("a/../../evil")],
        [_member("/tmp/evil")],
        [_member("..")],
        [_member("link", tarfile.SYMTYPE, "/etc/passwd")],
        [_member("out", tarfile.SYMTYPE, ".."), _member("out/evil")],
        [_member("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [_member("device", tarfile.CHRTYPE)],
        [_member("pipe", tarfile.FIFOTYPE)],
        [_member("folder", tarfile.DIRTYPE)],
        [_member("same"), _member("same")],
        [_member("sparse", tarfile.GNUTYPE_SPARSE)],
        [_member("long header", tarfile.XHDTYPE, size=1 << 40)],
        [_member("negative", size=-512)],
        [_member("short", size=1 << 40)],
    ],
    ids=lambda members: f"{members[0].name}-{members[0].type!r}",
)
def test_unsafe_members_are_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for member in members:
            archive.addfile(member)  # Without its content, whatever its size.
    data = zstandard.compress(plain.getvalue())
    box = tmp_path / "box"
    box.mkdir()
    with pytest.raises(BundleCorrupt):
        unpack(io.BytesIO(data), box / "out", digest=hashlib.sha256(data).hexdigest())
    assert list(box.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def _unpack_and_die(bundle: Path, folder: Path, digest: str) -> None:
    unpack(bundle, folder, digest=digest, progress=lambda count: os.kill(os.getpid(), signal.SIGKILL))


def test_kill_in_the_middle_of_unpacking(stage: Path, tmp_path: Path) -> None:
    packed = _pack(stage, tmp_path / "b")
    child = multiprocessing.get_context("fork").Process(
        target=_unpack_and_die, args=(tmp_path / "b", tmp_path / "out", packed.digest)
    )
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    unpack(tmp_path / "b", tmp_path / "out", digest=packed.digest)
    assert files_of(tmp_path / "out") == files_of(stage)


def test_packing_a_folder_that_a_stage_left_half_way(stage: Path, tmp_path: Path) -> None:
    shutil.rmtree(stage)
    stage.write_text("a file where a folder should be")
    with pytest.raises(HandoffIncomplete):
        _pack(stage, tmp_path / "b")
