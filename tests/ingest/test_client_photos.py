"""Photos in buckets of clients, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from meshroom_tasks.errors import AddressNotAllowed, ImageTooLarge, ImageUnreachable, RequestRefused, StorageUnavailable
from meshroom_tasks.ingest import IngestLimits
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import open_client_photos
from tests.ingest.conftest import Ingest, encoded, picture
from tests.servers.seaweedfs import SeaweedFS

OWN = "own-objects"
CLIENTS = "photos-of-clients"
OTHERS = "photos-of-others"
PHOTOS = {
    "oak/001.jpg": encoded(picture(1)),
    "oak/2 (left) +ü%.jpg": encoded(picture(2)),
    "oak/legs/3.png": encoded(picture(3), "PNG"),
}


@pytest.fixture(scope="module")
def filled(seaweedfs: SeaweedFS) -> SeaweedFS:
    client = seaweedfs.client()
    for bucket in (OWN, CLIENTS, OTHERS):
        client.create_bucket(Bucket=bucket)
        for key, body in PHOTOS.items():
            client.put_object(Bucket=bucket, Key=key, Body=body)
    for key in ("oak/", "oak/notes.txt", "oak/.DS_Store", "oakwood/9.jpg"):
        client.put_object(Bucket=CLIENTS, Key=key, Body=b"" if key.endswith("/") else b"nothing")
    client.put_object(Bucket=CLIENTS, Key="large.jpg", Body=b"\xff\xd8\xff" + b"x" * 20_000_000)
    return seaweedfs


@pytest.fixture
def reading(ingest: Ingest, filled: SeaweedFS) -> Ingest:
    ingest.client_photos = open_client_photos(load_settings(**settings(filled)))
    return ingest


def settings(server: SeaweedFS, **more: Any) -> dict[str, Any]:
    return server.settings(OWN, image_buckets=(CLIENTS, OWN), **more)


def test_a_prefix_stands_for_all_photos_below_it(reading: Ingest) -> None:
    result = reading([f"s3://{CLIENTS}/oak/"])
    assert [photo.source for photo in result.photos] == ["001.jpg", "2 (left) +ü%.jpg", "legs/3.png"]
    [warning] = result.warnings
    assert (warning["code"], warning["names"]) == ("files_ignored", ["notes.txt"])
    alone = [f"s3://{CLIENTS}/oak/{name}" for name in ("001.jpg", "2%20(left)%20+%C3%BC%25.jpg", "legs/3.png")]
    assert reading(alone).photos_digest == result.photos_digest
    assert list(reading.scratch.iterdir()) == []


@pytest.mark.parametrize("bucket", [OTHERS, OWN, "nonesuch-bucket"])
def test_only_what_is_allowed_and_never_our_own(reading: Ingest, bucket: str) -> None:
    for url in (f"s3://{bucket}/oak/", f"s3://{bucket}/oak/001.jpg", f"s3://{bucket}/"):
        with pytest.raises(AddressNotAllowed) as raised:
            reading([url, *[f"s3://{CLIENTS}/oak/001.jpg"] * 3])
        assert "address not allowed" in raised.value.message


def test_without_a_setting_there_are_no_buckets(ingest: Ingest, filled: SeaweedFS) -> None:
    assert open_client_photos(load_settings(**filled.settings(OWN))) is None
    assert open_client_photos(load_settings(**filled.settings(OWN, image_buckets=(OWN,)))) is None
    with pytest.raises(AddressNotAllowed):
        ingest([f"s3://{CLIENTS}/oak/"])


def test_what_is_not_there(reading: Ingest, filled: SeaweedFS) -> None:
    with pytest.raises(ImageUnreachable, match="no such object"):
        reading([f"s3://{CLIENTS}/oak/", f"s3://{CLIENTS}/oak/004.jpg"])
    with pytest.raises(ImageUnreachable, match="no photos below"):
        reading([f"s3://{CLIENTS}/elm/"])
    gone = load_settings(**filled.settings(OWN, image_buckets=("gone-bucket",)))
    reading.client_photos = open_client_photos(gone)
    for url in ("s3://gone-bucket/oak/", "s3://gone-bucket/oak/001.jpg"):
        with pytest.raises(ImageUnreachable):
            reading([url] * 3)


def test_what_may_not_be_read_and_a_server_that_is_away(reading: Ingest, filled: SeaweedFS) -> None:
    access_key, secret = filled.guest
    guest = load_settings(**settings(filled, aws_access_key_id=access_key, aws_secret_access_key=secret))
    reading.client_photos = open_client_photos(guest)
    for url in (f"s3://{CLIENTS}/oak/", f"s3://{CLIENTS}/oak/001.jpg"):
        with pytest.raises(ImageUnreachable, match="may not read it"):
            reading([url] * 3)


def test_limits_hold(reading: Ingest) -> None:
    reading.limits = IngestLimits(max_image_bytes=1_000_000)
    with pytest.raises(ImageTooLarge):
        reading([f"s3://{CLIENTS}/oak/", f"s3://{CLIENTS}/large.jpg"])
    reading.limits = IngestLimits(max_images=3)
    with pytest.raises(RequestRefused, match="at most 3"):
        reading([f"s3://{CLIENTS}/oak/", f"s3://{CLIENTS}/oakwood/9.jpg"])


def test_a_server_that_is_away_is_no_fault_of_the_photos(reading: Ingest, filled: SeaweedFS) -> None:
    from meshroom_tasks.storage.s3_photos import S3Photos

    away = load_settings(**settings(filled, aws_endpoint_url="http://127.0.0.1:9"))
    reading.client_photos = S3Photos(away, patience=0.1)
    with pytest.raises(StorageUnavailable):
        reading([f"s3://{CLIENTS}/oak/"])
