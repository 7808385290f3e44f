from __future__ import annotations

import io
import resource
import zipfile
from pathlib import Path

import pytest

from meshroom_tasks.errors import (
    ImageTooLarge,
    ImageTypeUnsupported,
    JobTooLarge,
    PhotoError,
    RequestRefused,
    ServiceError,
    ZipBomb,
    ZipInvalid,
    ZipUnsafe,
)
from meshroom_tasks.ingest import IngestLimits
from meshroom_tasks.ingest.zips import opened_zip
from tests.ingest import zip_files
from tests.ingest.conftest import Ingest, encoded, picture, png_claiming
from tests.ingest.zip_files import PHOTOS, packed, with_entry

LZMA = packed(PHOTOS.items(), zipfile.ZIP_LZMA)


def test_photos_by_name_and_what_is_beside_them(ingest: Ingest) -> None:
    files = {
        **dict(reversed(PHOTOS.items())),
        "chair/.DS_Store": b"x",
        "__MACOSX/chair/._001.jpg": b"x",
        "chair/Thumbs.db": b"x",
        "chair/notes.txt": b"taken in the garden",
    }
    result = ingest([ingest.upload({"chair.zip": packed([("chair/", b""), *files.items()])})])
    assert [photo.source for photo in result.photos] == [f"chair.zip/chair/{number:03d}.jpg" for number in range(3)]
    assert result.given == 3
    [warning] = result.warnings
    assert (warning["code"], warning["names"]) == ("files_ignored", ["chair.zip/chair/notes.txt"])
    assert list(ingest.scratch.iterdir()) == []


def test_it_is_the_same_job_as_with_the_photos_alone(ingest: Ingest) -> None:
    zipped = ingest([ingest.upload({"chair.zip": zip_files.good()})])
    alone = ingest([ingest.upload(PHOTOS)])
    addresses = ingest(ingest.offer(*PHOTOS.values()))
    assert zipped.photos_digest == alone.photos_digest == addresses.photos_digest


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", ZipInvalid),
        (b"PK\x03\x04 and no more", ZipInvalid),
        (encoded(picture(1)), ZipInvalid),
        (zip_files.good()[:-30], ZipInvalid),
        (packed([]), ZipInvalid),
        (packed([("notes.txt", b"x")]), ZipInvalid),
        (zip_files.encrypted(), ZipInvalid),
        (LZMA, ZipInvalid),
        (with_entry("../../etc/cron.d/x.jpg"), ZipUnsafe),
        (with_entry("/etc/passwd"), ZipUnsafe),
        (with_entry("a\\..\\..\\x.jpg"), ZipUnsafe),
        (with_entry("C:/x.jpg"), ZipUnsafe),
        (with_entry("a//b.jpg"), ZipUnsafe),
        (with_entry("line\nbreak.jpg"), ZipUnsafe),
        (with_entry("x" * 300 + ".jpg"), ZipUnsafe),
        (zip_files.link("004.jpg", "/etc/passwd"), ZipUnsafe),
        (with_entry("more.zip", zip_files.good()), ZipUnsafe),
        (with_entry("more.tar.gz"), ZipUnsafe),
        (packed([*PHOTOS.items(), ("black.png", b"\0" * 30_000_000)]), ZipBomb),
        (packed([*PHOTOS.items(), ("readme.txt", b"\0" * 30_000_000)]), ZipBomb),
        (zip_files.overlapping(), ZipBomb),
        (zip_files.boasting_table(), ZipBomb),
    ],
    ids=[
        "empty", "cut short", "a photo", "no end", "nothing in it", "no photos", "encrypted", "LZMA", "parent", "root",
        "backslash", "drive", "empty part", "line break", "long name", "link", "zip in zip", "tar in zip", "ratio",
        "ratio of another file", "overlapping", "boasting table",
    ],
)  # fmt: skip
def test_zips_that_are_refused(tmp_path: Path, body: bytes, error: type[ServiceError]) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(body)
    with pytest.raises(error) as raised, opened_zip(path, IngestLimits()):
        pass
    assert type(raised.value) is error
    assert "/etc/passwd" not in raised.value.message or error is ZipUnsafe
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(with_entry("chair/001.jpg"))
    with pytest.raises(ZipUnsafe, match="twice"), opened_zip(path, IngestLimits()):
        pass


def test_ten_thousand_tiny_files(ingest: Ingest) -> None:
    tiny = packed([(f"{number:05d}.jpg", b"x") for number in range(10_000)], zipfile.ZIP_STORED)
    with pytest.raises(RequestRefused, match="10,000 photos"):
        ingest([ingest.upload({"many.zip": tiny})])
    with pytest.raises(ZipBomb, match="table of contents"):
        ingest([ingest.upload({"more.zip": many_entries(60_000)})])
    assert list(ingest.scratch.iterdir()) == []


def many_entries(count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(f"{number:030d}.jpg"), b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("chair/009.jpg", b"PK\x03\x04" + b"x" * 100, ImageTypeUnsupported),
        ("chair/009.jpg", zip_files.good(), ImageTypeUnsupported),
        ("chair/009.png", png_claiming(60_000, 60_000), ImageTooLarge),
        ("chair/009.jpg", encoded(picture(9))[:-400], PhotoError),
        ("chair/009.jpg", b"<svg/>", ImageTypeUnsupported),
        ("chair/009.heic", b"\0\0\0\x18ftypheic" + b"x" * 100, ImageTypeUnsupported),
    ],
    ids=["archive", "whole archive", "PNG bomb", "cut short", "SVG", "HEIC"],
)
def test_a_bad_photo_is_named(ingest: Ingest, name: str, body: bytes, error: type[PhotoError]) -> None:
    url = ingest.upload({"chair.zip": with_entry(name, body)})
    with pytest.raises(error) as raised:
        ingest([url])
    assert f"image_urls[0] (chair.zip/{name})" in raised.value.message
    [image] = raised.value.context["images"]
    assert (image["index"], image["name"], image["code"]) == (3, f"chair.zip/{name}", error.code)
    assert list(ingest.scratch.iterdir()) == []


def test_sizes_in_the_table_are_not_believed(ingest: Ingest) -> None:
    with pytest.raises(PhotoError, match=r"large\.jpg"):
        ingest([ingest.upload({"chair.zip": zip_files.lying_about_sizes()})])


def test_limits_hold_for_what_is_unpacked(ingest: Ingest) -> None:
    size = max(map(len, PHOTOS.values()))
    url = ingest.upload({"chair.zip": zip_files.good()})
    ingest.limits = IngestLimits(max_image_bytes=size - 1)
    with pytest.raises(ImageTooLarge):
        ingest([url])
    ingest.limits = IngestLimits(max_job_bytes=2 * size)
    with pytest.raises((JobTooLarge, ZipInvalid)):
        ingest([url])
    ingest.limits = IngestLimits(max_images=4)
    with pytest.raises(RequestRefused, match="at most 4"):
        ingest([url, ingest.upload(dict(list(PHOTOS.items())[:2]))])


def test_a_zip_that_was_not_announced_as_one_is_no_photo(ingest: Ingest) -> None:
    with pytest.raises(ImageTypeUnsupported, match="ZIP archive"):
        ingest([ingest.upload({**PHOTOS, "x.jpg": zip_files.good()})])
    assert ingest([ingest.upload({"x": zip_files.good()}, content_type="application/zip")]).given == 3


def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    for body in (zip_files.overlapping(2000), zip_files.boasting_table()):
        path = tmp_path / "x.zip"
        path.write_bytes(body)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ZipBomb), opened_zip(path, IngestLimits()):
            pass
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000, "kB"
