from __future__ import annotations

import pytest

from meshroom_tasks.errors import UrlInvalid
from meshroom_tasks.photo_urls import ObjectUrl, UploadUrl, fault_of_name, parse_photo_url

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        (f"upload://{ID}", UploadUrl(ID)),
        (f"upload://{ID}/", UploadUrl(ID)),
        (f"upload://{ID}/1.jpg", UploadUrl(ID, "1.jpg")),
        (f"upload://{ID}/front%20side/%C3%BC%25%3F.jpg", UploadUrl(ID, "front side/ü%?.jpg")),
        ("s3://photos/", ObjectUrl("photos", "")),
        ("s3://photos/oak/", ObjectUrl("photos", "oak/")),
        ("s3://my.photos-1/oak/1.jpg", ObjectUrl("my.photos-1", "oak/1.jpg")),
        ("s3://photos/a%20b/%2B+.jpg", ObjectUrl("photos", "a b/++.jpg")),
        ("https://photos.example.com/1.jpg", None),
        ("ftp://photos.example.com/1.jpg", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_what_a_url_names(url: str, parsed: UploadUrl | ObjectUrl | None) -> None:
    assert parse_photo_url(url) == parsed


@pytest.mark.parametrize("name", ["1.jpg", "a/b/c.jpg", "ü %2f?#&.jpg", "..a", "a..", "x" * 255])
def test_the_url_of_a_name_names_it(name: str) -> None:
    assert parse_photo_url(str(UploadUrl(ID, name))) == UploadUrl(ID, name)


@pytest.mark.parametrize(
    "url",
    [
        "upload://",
        "upload:///1.jpg",
        f"upload://{'a' * 65}",
        f"upload://{ID}//etc/passwd",
        f"upload://{ID}/../1.jpg",
        f"upload://{ID}/%2e%2e/1.jpg",
        f"upload://{ID}/a%5Cb",
        f"upload://{ID}/a%00b",
        f"upload://{ID}/%ff",
        f"upload://user@{ID}/1.jpg",
        f"UPLOAD://{ID}",
        f"upload://{ID}/" + "%20" * 700,
        "s3://",
        "s3://photos",
        "s3://Photos/1.jpg",
        "s3://ph/../1.jpg",
        "s3://key:secret@photos/1.jpg",
        "s3://photos:9000/1.jpg",
        "s3://photos/1.jpg?versionId=1",
        "s3://photos/1.jpg#x",
        "s3://photos/a%0Ab",
        "s3://photos/%ff",
        "S3://photos/1.jpg",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UrlInvalid):
        parse_photo_url(url)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/a", "a/", "a//b", "a/../b", "a\\b", "C:a", "a\nb", "a\x7f", "a\u2028b", "x" * 256]
)
def test_names_that_are_none(name: str) -> None:
    assert fault_of_name(name)
