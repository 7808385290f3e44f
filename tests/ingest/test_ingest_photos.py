from __future__ import annotations

import hashlib
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from meshroom_tasks.errors import (
    AddressNotAllowed,
    DiskFull,
    ImageTooLarge,
    ImageTypeUnsupported,
    ImageUnreachable,
    JobTooLarge,
    PhotoError,
    RequestRefused,
    TooFewImages,
    UrlInvalid,
)
from meshroom_tasks.ingest import IngestLimits
from meshroom_tasks.stops import JobCancelled
from tests.ingest.conftest import Ingest, encoded, picture, png_claiming
from tests.loopback import Exchange

HTML = b"<!doctype html><html><body>Please sign in</body></html>"


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshroom_tasks.ingest.download._backoff", lambda state: 0.01)


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return [encoded(picture(seed)) for seed in range(5)]


def stored(ingest: Ingest, digest: str) -> dict[str, bytes]:
    return {key.rpartition("/")[2]: ingest.storage.get_bytes(key) for key in ingest.storage.list(f"inputs/{digest}")}


def test_photos_are_stored_as_they_came(ingest: Ingest) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model"
    bodies = [encoded(picture(1), exif=exif), encoded(picture(2, 100, 80), "PNG"), encoded(picture(3), "WEBP")]
    result = ingest(ingest.offer(*bodies))
    hashes = [hashlib.sha256(body).hexdigest() for body in bodies]
    names = [f"{i:04d}_{hashes[i][:8]}.{ext}" for i, ext in enumerate(["jpg", "png", "webp"])]
    assert [photo.name for photo in result.photos] == names
    assert [photo.sha256 for photo in result.photos] == hashes
    assert [photo.size for photo in result.photos] == [len(body) for body in bodies]
    assert [(photo.width, photo.height) for photo in result.photos] == [(64, 48), (100, 80), (64, 48)]
    assert [photo.media_type for photo in result.photos] == ["image/jpeg", "image/png", "image/webp"]
    assert result.warnings == ()
    files = stored(ingest, result.photos_digest)
    manifest = json.loads(files.pop("manifest.json"))
    assert files == dict(zip(names, bodies, strict=True))
    assert manifest["photos_digest"] == result.photos_digest
    assert [photo["name"] for photo in manifest["photos"]] == names
    assert list(ingest.scratch.iterdir()) == []
    assert ingest.progress == sorted(ingest.progress)
    assert ingest.progress[-1] == pytest.approx(1.0)


def test_the_order_counts_and_nothing_else(ingest: Ingest, jpegs: list[bytes]) -> None:
    urls = ingest.offer(*jpegs[:3])
    first = ingest(urls)
    assert ingest(ingest.offer(*jpegs[:3])).photos_digest == first.photos_digest
    assert ingest(urls[::-1]).photos_digest != first.photos_digest


def test_photos_already_stored_are_not_stored_again(
    ingest: Ingest, jpegs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = ingest.offer(*jpegs[:3])
    first = ingest(urls)
    puts: list[str] = []
    put_file = ingest.storage.put_file

    def counted(key: str, path: Path, **options: Any) -> bool:
        puts.append(key)
        return put_file(key, path, **options)

    monkeypatch.setattr(ingest.storage, "put_file", counted)
    assert ingest(urls) == first
    assert puts == []
    missing = f"inputs/{first.photos_digest}/{first.photos[1].name}"
    ingest.storage.delete(missing)
    ingest(urls)
    assert puts == [missing]


def test_the_manifest_comes_last(ingest: Ingest, jpegs: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    put_file = ingest.storage.put_file

    def full(key: str, path: Path, **options: Any) -> bool:
        if "0002_" in key:
            raise DiskFull("the disk is full")
        return put_file(key, path, **options)

    monkeypatch.setattr(ingest.storage, "put_file", full)
    with pytest.raises(DiskFull):
        ingest(ingest.offer(*jpegs[:3]))
    assert not any(key.endswith("manifest.json") for key in ingest.storage.list("inputs"))
    assert list(ingest.scratch.iterdir()) == []


def test_repeats_are_dropped_with_a_warning(ingest: Ingest, jpegs: list[bytes]) -> None:
    a, b, c = jpegs[:3]
    result = ingest(ingest.offer(a, b, a, c, a, b))
    assert [photo.index for photo in result.photos] == [0, 1, 3]
    assert result.warnings == (
        {"code": "duplicate_image", "index": 2, "of": 0},
        {"code": "duplicate_image", "index": 4, "of": 0},
        {"code": "duplicate_image", "index": 5, "of": 1},
    )


def test_thirty_copies_are_too_few(ingest: Ingest, jpegs: list[bytes]) -> None:
    with pytest.raises(TooFewImages, match="Only 1 different") as caught:
        ingest(ingest.offer(jpegs[0]) * 30)
    assert caught.value.context == {"distinct": 1, "given": 30, "needed": 3}


def test_two_photos_are_not_even_fetched(ingest: Ingest, jpegs: list[bytes]) -> None:
    with pytest.raises(TooFewImages, match="at least 3"):
        ingest(ingest.offer(*jpegs[:2]))
    assert ingest.site.received == []


def test_too_many_photos_are_not_even_fetched(ingest: Ingest) -> None:
    ingest.limits = IngestLimits(max_images=5)
    with pytest.raises(RequestRefused, match="at most 5"):
        ingest([ingest.site.url("/x")] * 6)
    assert ingest.site.received == []


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (HTML, ImageTypeUnsupported, "HTML"),
        (encoded(picture(9, 300, 200))[:-3000], PhotoError, "damaged"),
        (png_claiming(50_000, 50_000), ImageTooLarge, "pixels"),
        (b"", ImageTypeUnsupported, "empty"),
        (b"x" * 60_000, ImageTooLarge, "bytes"),
    ],
)
def test_one_bad_photo(ingest: Ingest, jpegs: list[bytes], body: bytes, error: type[PhotoError], said: str) -> None:
    ingest.limits = IngestLimits(max_image_bytes=50_000)
    with pytest.raises(error, match=rf"^image_urls\[1\] cannot be used: it .*{said}.*[^.]\.$") as caught:
        ingest(ingest.offer(jpegs[0], body, jpegs[1], jpegs[2]))
    assert type(caught.value) is error
    [image] = caught.value.context["images"]
    assert (image["index"], image["code"]) == (1, error.code)
    assert said in image["reason"]
    assert list(ingest.storage.list()) == []


def test_all_bad_photos_are_listed(ingest: Ingest, jpegs: list[bytes]) -> None:
    [good, html] = ingest.offer(jpegs[0], HTML)
    urls = [good, ingest.site.url("/missing"), html, "http://169.254.169.254/a.jpg", "ftp://example.com/a.jpg"]
    with pytest.raises(ImageUnreachable) as caught:
        ingest(urls)
    assert caught.value.message == "image_urls[1] cannot be used: its server answered 404; 4 of the 5 photos are bad."
    codes = [(image["index"], image["code"]) for image in caught.value.context["images"]]
    assert codes == [
        (1, "image_unreachable"),
        (2, "image_type_unsupported"),
        (3, "address_not_allowed"),
        (4, "url_invalid"),
    ]
    json.dumps(caught.value.context)


def test_a_blocked_address(ingest: Ingest, jpegs: list[bytes]) -> None:
    with pytest.raises(AddressNotAllowed) as caught:
        ingest(["http://127.0.0.1:1/secret.jpg", *ingest.offer(*jpegs[:3])])
    assert caught.value.message == "image_urls[0] cannot be used: address not allowed."


def test_a_redirect_to_a_blocked_address(ingest: Ingest, jpegs: list[bytes]) -> None:
    ingest.site.routes["/r"] = lambda exchange: exchange.reply(302, Location="http://127.0.0.1:1/x")
    with pytest.raises(AddressNotAllowed):
        ingest([*ingest.offer(*jpegs[:3]), ingest.site.url("/r")])


def test_a_url_with_a_password(ingest: Ingest, jpegs: list[bytes]) -> None:
    with pytest.raises(UrlInvalid) as caught:
        ingest([*ingest.offer(*jpegs[:3]), "http://user:hunter2@example.com/x.jpg"])
    assert "hunter2" not in str(caught.value)


def test_bad_photos_are_skipped_when_enough_remain(ingest: Ingest, jpegs: list[bytes]) -> None:
    ingest.limits = IngestLimits(skip_bad_images=True)
    urls = ingest.offer(jpegs[0], HTML, jpegs[1], jpegs[1], jpegs[2])
    result = ingest(urls)
    assert [photo.index for photo in result.photos] == [0, 2, 4]
    repeat, skipped = result.warnings
    assert repeat == {"code": "duplicate_image", "index": 3, "of": 2}
    assert (skipped["code"], skipped["index"], skipped["error"]) == ("image_skipped", 1, "image_type_unsupported")
    with pytest.raises(ImageTypeUnsupported):
        ingest([urls[0], urls[1], urls[2], urls[3]])


def test_a_dead_server_is_not_asked_for_every_photo(ingest: Ingest) -> None:
    with pytest.raises(ImageUnreachable, match="its server answered 404"):
        ingest([ingest.site.url(f"/missing/{i}") for i in range(200)])
    assert len(ingest.site.received) < 40


def flaky(times: int, status: int, body: bytes, **headers: str) -> Any:
    count = itertools.count()

    def handler(exchange: Exchange) -> None:
        if next(count) >= times:
            exchange.reply(200, body)
        elif status:
            exchange.reply(status, **headers)
        else:
            exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n\xff\xd8\xff")

    return handler


@pytest.mark.parametrize("status", [500, 502, 503, 429, 0])
def test_passing_trouble_is_tried_again(ingest: Ingest, jpegs: list[bytes], status: int) -> None:
    ingest.site.routes["/flaky"] = flaky(2, status, jpegs[0])
    result = ingest([ingest.site.url("/flaky"), *ingest.offer(*jpegs[1:3])])
    assert result.photos[0].sha256 == hashlib.sha256(jpegs[0]).hexdigest()


@pytest.mark.parametrize(("status", "requests"), [(503, 3), (0, 3), (404, 1), (403, 1), (410, 1), (204, 1), (304, 1)])
def test_lasting_trouble_is_given_up(ingest: Ingest, jpegs: list[bytes], status: int, requests: int) -> None:
    ingest.site.routes["/flaky"] = flaky(99, status, b"")
    with pytest.raises(ImageUnreachable) as caught:
        ingest([*ingest.offer(*jpegs[:3]), ingest.site.url("/flaky?X-Amz-Signature=secret")])
    assert sum(request.path.startswith("/flaky") for request in ingest.site.received) == requests
    assert "secret" not in str(caught.value) + json.dumps(caught.value.context)


def test_the_server_says_when_to_come_back(ingest: Ingest, jpegs: list[bytes]) -> None:
    ingest.site.routes["/flaky"] = flaky(1, 503, jpegs[0], Retry_After="1")
    started = time.monotonic()
    ingest([ingest.site.url("/flaky"), *ingest.offer(*jpegs[1:3])])
    assert time.monotonic() - started >= 1.0


def test_a_photo_that_takes_too_long(ingest: Ingest, jpegs: list[bytes]) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while not exchange.wait(0.05):
            exchange.raw(b"x")

    ingest.site.routes["/slow"] = slow
    ingest.limits = IngestLimits(image_seconds=2.0)
    with pytest.raises(ImageUnreachable, match=r"within 2 s"):
        ingest([*ingest.offer(*jpegs[:3]), ingest.site.url("/slow")])


def test_all_photos_together_have_a_limit(ingest: Ingest) -> None:
    bodies = [encoded(picture(seed, 200, 150)) for seed in range(4)]
    ingest.limits = IngestLimits(max_job_bytes=sum(map(len, bodies)) - 1)
    with pytest.raises(JobTooLarge, match="together"):
        ingest(ingest.offer(*bodies))
    ingest.limits = IngestLimits(max_job_bytes=sum(map(len, bodies)))
    assert len(ingest(ingest.offer(*bodies)).photos) == 4


def test_failed_tries_do_not_count_to_the_limit(ingest: Ingest) -> None:
    bodies = [encoded(picture(seed)) for seed in range(3)]
    half = bodies[0][: len(bodies[0]) // 2]
    count = itertools.count()

    def broken_twice(exchange: Exchange) -> None:
        if next(count) < 2:
            exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(bodies[0]) + half)
        else:
            exchange.reply(200, bodies[0])

    ingest.site.routes["/broken"] = broken_twice
    ingest.limits = IngestLimits(max_job_bytes=sum(map(len, bodies)))
    assert len(ingest([ingest.site.url("/broken"), *ingest.offer(*bodies[1:])]).photos) == 3


def test_a_cancelled_job_stops_at_once(ingest: Ingest) -> None:
    def hang(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nx")
        while not exchange.wait(0.05):
            exchange.raw(b"x")

    ingest.site.routes["/hang"] = hang
    until = time.monotonic() + 0.5
    ingest.stop = lambda: JobCancelled("the job was cancelled") if time.monotonic() > until else None
    with pytest.raises(JobCancelled):
        ingest([ingest.site.url("/hang")] * 50)
    assert list(ingest.scratch.iterdir()) == []


def test_names_are_ours(ingest: Ingest, jpegs: list[bytes]) -> None:
    for path, body in zip(["/..%2F..%2Fetc%2Fpasswd", "/a.php%00.jpg", "/CON"], jpegs, strict=False):
        ingest.site.routes[path] = lambda exchange, body=body: exchange.reply(
            200, body, Content_Disposition='attachment; filename="../../x"', Content_Type="text/html"
        )
    result = ingest([ingest.site.url(path) for path in list(ingest.site.routes)])
    assert all(photo.name == f"{photo.index:04d}_{photo.sha256[:8]}.jpg" for photo in result.photos)
