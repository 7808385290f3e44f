"""Bundles: a folder of results as one object, `tar` compressed with zstd, or plain where that gains nothing.

Equal folders give equal bytes (sorted names, no times, owners or modes), so the digest of a bundle is the digest of
its content. Unpacking trusts nothing: the digest must fit, and only regular files below the folder come out.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import zstandard

from meshroom_tasks.errors import BundleCorrupt, HandoffIncomplete
from meshroom_tasks.handoff.bundle_streams import BLOCK, HashingReader, HashingWriter, TarStream, Told
from meshroom_tasks.handoff.disk import Syncing, disk_errors, give_name, part_of
from meshroom_tasks.storage import Progress, Sink

_LEVEL = 1
_DENSE_SUFFIXES = {".exr", ".jpg", ".jpeg", ".png", ".webp", ".npz", ".gz", ".zip", ".zst"}
_DENSE_SHARE = 0.9


@dataclass(frozen=True)
class Packed:
    """`digest` is the sha256 (hex) of the bundle's `size` bytes; it holds `files` files of `unpacked_size` bytes."""

    digest: str
    size: int
    files: int
    unpacked_size: int


def is_worth_compressing(folder: Path) -> bool:
    """False when nearly all bytes below `folder` are in files of formats that are compressed by themselves."""
    dense = total = 0
    for name, path in _regular_files(folder):
        size = path.stat().st_size
        total += size
        dense += size if PurePosixPath(name).suffix.lower() in _DENSE_SUFFIXES else 0
    return dense < _DENSE_SHARE * total or total == 0


def pack(folder: Path, target: Sink, *, compress: bool = True, progress: Progress | None = None) -> Packed:
    """Write the files below `folder` to `target` as one stream; what is in memory at a time is a few MiB.

    `progress` hears of the uncompressed bytes, block by block. `HandoffIncomplete` when the folder is missing or holds
    anything but files and folders; errors of `target` pass.
    """
    sink = HashingWriter(target)
    with ExitStack() as stack:
        plain: Any = sink
        if compress:
            compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
            plain = stack.enter_context(compressor.stream_writer(cast(BinaryIO, sink), closefd=False))
        archive = stack.enter_context(tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT))
        cast(Any, archive).copybufsize = BLOCK  # With the default, 16 KiB, packing costs twice the CPU time.
        files = unpacked_size = 0
        for name, path in _regular_files(folder):
            size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(_member(name, size), cast(BinaryIO, Told(content, progress)))
            files += 1
            unpacked_size += size
    return Packed(sink.digest(), sink.size, files, unpacked_size)


def unpack(bundle: BinaryIO | Path, folder: Path, *, digest: str, progress: Progress | None = None) -> None:
    """Make `folder` from a bundle; it appears only when everything in it is complete, verified and on disk.

    Nothing happens when another made `folder` meanwhile. `progress` hears of the bundle's bytes. `BundleCorrupt` when
    the bytes are not those of `digest`, no bundle, or would write outside of `folder`; `DiskFull`.
    """
    if isinstance(bundle, Path):
        with bundle.open("rb") as stream:
            unpack(stream, folder, digest=digest, progress=progress)
        return
    temporary = part_of(folder)
    try:
        with disk_errors():
            temporary.mkdir(parents=True)
            with HashingReader(bundle, progress) as source, Syncing() as syncing:
                _extract(source, temporary, syncing)
                source.drain()
                if source.digest() != digest:
                    raise _corrupt("its digest is not the recorded one")
                for parent, _, _ in os.walk(temporary):
                    syncing.add(Path(parent))
            give_name(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _regular_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Relative names and paths of all files, sorted by name."""
    if not folder.is_dir():
        raise HandoffIncomplete("the stage left no folder: its outputs are missing", folder=folder.name)
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise HandoffIncomplete("the stage left something that is no regular file", name=path.name)
        if path.is_file():
            found.append((path.relative_to(folder).as_posix(), path))
    yield from sorted(found)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member


def _extract(source: HashingReader, folder: Path, syncing: Syncing) -> None:
    try:
        with ExitStack() as stack:
            plain: Any = source
            if source.begins_with(zstandard.FRAME_HEADER):
                plain = stack.enter_context(
                    zstandard.ZstdDecompressor().stream_reader(cast(BinaryIO, source), read_size=BLOCK, closefd=False)
                )
            stream = TarStream(plain)
            for member in stack.enter_context(tarfile.open(fileobj=cast(BinaryIO, stream), mode="r:")):
                if not member.isreg() or member.issparse() or not _is_safe(member.name):
                    raise _corrupt(f"its member {member.name!r} is not a plain file inside of it")
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as target:
                    for piece in stream.content(member.size, -member.size % tarfile.BLOCKSIZE):
                        target.write(piece)
                syncing.add(path)
    except (zstandard.ZstdError, tarfile.TarError, EOFError, FileExistsError, UnicodeError, ValueError) as error:
        raise _corrupt(f"it cannot be read ({type(error).__name__})") from error


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name


def _corrupt(reason: str) -> BundleCorrupt:
    return BundleCorrupt(f"a stored bundle is damaged: {reason}; it is dropped and will be computed again")
