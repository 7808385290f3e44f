from __future__ import annotations

import hashlib
import io

import pytest
from PIL import Image

from meshroom_tasks.errors import (
    ImageTooLarge,
    ImageTypeUnsupported,
    PhotoError,
    ServiceError,
    TooFewImages,
    UploadDamaged,
    UploadIncomplete,
    UploadUnknown,
)
from meshroom_tasks.ingest import IngestLimits
from meshroom_tasks.stops import JobCancelled
from tests.ingest.conftest import Ingest, encoded, picture, png_claiming

PHOTOS = {f"{number}.jpg": encoded(picture(number)) for number in range(3)}


def test_uploads_and_addresses_together(ingest: Ingest) -> None:
    url = ingest.upload(PHOTOS)
    [address] = ingest.offer(encoded(picture(9)))
    result = ingest([f"{url}/2.jpg", address, f"{url}/0.jpg"])
    assert [photo.index for photo in result.photos] == [0, 1, 2]
    assert [photo.source for photo in result.photos] == ["2.jpg", "", "0.jpg"]
    assert ingest.storage.get_bytes(f"inputs/{result.photos_digest}/{result.photos[0].name}") == PHOTOS["2.jpg"]
    manifest = ingest.storage.get_bytes(f"inputs/{result.photos_digest}/manifest.json")
    assert b"2.jpg" not in manifest, "the names are the client's; who shares the photos does not see them"


def test_repeats_and_bad_ones_are_told_by_their_place_among_all(ingest: Ingest) -> None:
    ingest.limits = IngestLimits(skip_bad_images=True)
    url = ingest.upload({**PHOTOS, "bad.jpg": b"nonsense", "again.jpg": PHOTOS["0.jpg"]})
    result = ingest([url])
    assert result.given == 5
    assert [(w["code"], w["index"], w.get("name")) for w in result.warnings] == [
        ("duplicate_image", 4, None),
        ("image_skipped", 3, "bad.jpg"),
    ]


def test_an_upload_that_is_gone(ingest: Ingest) -> None:
    url = ingest.upload(PHOTOS)
    with pytest.raises(UploadUnknown, match=r"image_urls\[1\]"):
        ingest([url, f"upload://{'f' * 32}"])
    ingest.storage.delete_prefix("uploads")
    with pytest.raises(UploadIncomplete, match=r"image_urls\[0\] \(0\.jpg\)"):
        ingest([url])


def test_what_is_not_as_announced(ingest: Ingest) -> None:
    url = ingest.upload(PHOTOS, sha256=hashlib.sha256(PHOTOS["0.jpg"]).hexdigest())
    with pytest.raises(UploadDamaged, match="sha256") as raised:
        ingest([url])
    assert [image["name"] for image in raised.value.context["images"]] == ["1.jpg", "2.jpg"]
    with pytest.raises(UploadDamaged, match="announced"):
        ingest([ingest.upload(PHOTOS, size=5)])
    with pytest.raises(UploadDamaged, match="announced"):
        ingest([ingest.upload({"a.zip": b"12345"}, size=6)])


def test_an_empty_upload(ingest: Ingest) -> None:
    with pytest.raises(UploadUnknown):
        ingest([ingest.upload({})])
    with pytest.raises(TooFewImages):
        ingest([f"{ingest.upload(PHOTOS)}/0.jpg"])


def tiff_bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "TIFF", compression="group4")
    return buffer.getvalue()


def polyglot() -> bytes:
    """A JPEG to some, a page with a script to others."""
    return PHOTOS["0.jpg"][:2] + b"\xff\xfe\x00\x22<script>alert(document)</script>" + PHOTOS["0.jpg"][2:]


def huge_exif() -> bytes:
    return PHOTOS["0.jpg"][:2] + (b"\xff\xe1\xff\xff" + b"E" * 65_533) * 40 + PHOTOS["0.jpg"][2:]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (png_claiming(100_000, 100_000), ImageTooLarge),
        (tiff_bomb(), ImageTooLarge),
        (b"GIF89a<script>" + PHOTOS["0.jpg"], ImageTypeUnsupported),
        (b"%PDF-1.4" + PHOTOS["0.jpg"], ImageTypeUnsupported),
        (b"<!doctype html>" + PHOTOS["0.jpg"], ImageTypeUnsupported),
        (b"#!/bin/sh\n" + PHOTOS["0.jpg"], ImageTypeUnsupported),
        (b"\x00" * 1000, ImageTypeUnsupported),
        (PHOTOS["0.jpg"] + b"x" * 2_000_000, ImageTooLarge),
    ],
    ids=["PNG bomb", "TIFF bomb", "GIF and JPEG", "PDF and JPEG", "HTML and JPEG", "script", "zeros", "large"],
)
def test_hostile_photos(ingest: Ingest, body: bytes, error: type[PhotoError]) -> None:
    ingest.limits = IngestLimits(max_image_bytes=1_000_000)
    with pytest.raises(error) as raised:
        ingest([ingest.upload({**PHOTOS, "evil.jpg": body})])
    assert raised.value.context["images"][0]["name"] == "evil.jpg"
    assert list(ingest.scratch.iterdir()) == []


@pytest.mark.parametrize("body", [polyglot(), huge_exif()], ids=["script in a comment", "huge EXIF"])
def test_odd_photos_are_photos_and_their_bytes_stay(ingest: Ingest, body: bytes) -> None:
    """What they hold beside their pixels is never shown to a browser as anything but a photo."""
    result = ingest([ingest.upload({**PHOTOS, "odd.jpg": body})])
    assert result.photos[3].media_type == "image/jpeg"
    assert ingest.storage.get_bytes(f"inputs/{result.photos_digest}/{result.photos[3].name}") == body


def test_a_cancelled_job_stops_in_the_middle_of_a_zip(ingest: Ingest) -> None:
    asked: list[None] = []

    def stop() -> ServiceError | None:
        asked.append(None)
        return JobCancelled("cancelled")

    ingest.stop = stop
    with pytest.raises(JobCancelled):
        ingest([ingest.upload({"large.zip": b"x" * 50_000_000})])
    assert asked
    assert list(ingest.scratch.iterdir()) == []
