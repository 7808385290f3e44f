"""Bad input: a 4xx at submission or a failed job with a stable code, a sentence, a callback, and the service alive."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
from PIL import Image

from tests.deployment import Deployment, write_photos

TIMEOUT = 60


def post(deployment: Deployment, body: Any = None, *, key: str | None = None, **more: Any) -> requests.Response:
    headers = {"X-API-Key": deployment.service.api_key if key is None else key, "Content-Type": "application/json"}
    url = f"{deployment.service.url}/api/v1/reconstruct"
    return requests.post(url, json=body, headers=headers, timeout=TIMEOUT, **more)


def body_with(deployment: Deployment, **changes: Any) -> dict[str, Any]:
    return {"image_urls": deployment.photo_urls(3), "callback_url": deployment.receiver.url, **changes}


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"image_urls": ["http://127.0.0.1:1/a.jpg"] * 3}, 422, "address_not_allowed"),
    ({"image_urls": ["http://169.254.169.254/latest/meta-data"] * 3}, 422, "address_not_allowed"),
    ({"image_urls": ["http://[::ffff:10.0.0.1]/a.jpg"] * 3}, 422, "address_not_allowed"),
    ({"callback_url": "http://10.1.2.3/hook"}, 422, "address_not_allowed"),
    ({"callback_url": "http://0x7f000001/hook"}, 422, "address_not_allowed"),
    ({"pipeline": "defualt"}, 422, "pipeline_unknown"),
    ({"settings": {"FeatureExtractoin": {"describerPreset": "high"}}}, 422, "setting_invalid"),
    ({"settings": {"FeatureExtraction": {"describerPreste": "high"}}}, 422, "setting_invalid"),
    ({"settings": {"Texturing": {"textureSide": "large"}}}, 422, "setting_invalid"),
]


@pytest.mark.parametrize(("changes", "status", "code"), REFUSED)
def test_refused_at_submission(deployment: Deployment, changes: dict[str, Any], status: int, code: str) -> None:
    reply = post(deployment, body_with(deployment, **changes))
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "application/problem+json")
    problem = reply.json()
    assert code in {problem["code"], *(fault.get("code") for fault in problem.get("errors", ()))}, problem
    assert problem["request_id"]


@pytest.mark.parametrize(
    ("send", "status"),
    [
        (lambda deployment: post(deployment, None, data=b'{"image_urls": ['), 400),
        (lambda deployment: post(deployment, body_with(deployment), key="wrong"), 401),
        (lambda deployment: post(deployment, body_with(deployment), key=""), 401),
        (lambda deployment: post(deployment, body_with(deployment, image_urls=[])), 422),
        (lambda deployment: post(deployment, body_with(deployment, unknown=1)), 422),
        (lambda deployment: post(deployment, body_with(deployment, priority=11)), 422),
    ],
)
def test_refused_requests(deployment: Deployment, send: Callable[[Deployment], requests.Response], status: int) -> None:
    reply = send(deployment)
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "application/problem+json")


def photo(deployment: Deployment, name: str, content: bytes) -> str:
    (deployment.photos / name).write_bytes(content)
    return deployment.url_of(name)


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((400, 300), 80).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


def huge_png() -> bytes:
    """50,000 x 50,000 pixels, in a few bytes."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = part(b"IDAT", zlib.compress(b"\0" * 100_000))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + pixels + part(b"IEND", b"")


BAD_PHOTOS: dict[str, tuple[Callable[[Deployment], str], str]] = {
    "html": (
        lambda deployment: photo(deployment, "page.jpg", b"<!doctype html><html></html>"),
        "image_type_unsupported",
    ),
    "truncated": (lambda deployment: photo(deployment, "half.jpg", jpeg()[:9000]), "image_invalid"),
    "huge": (lambda deployment: photo(deployment, "huge.png", huge_png()), "image_too_large"),
    "missing": (lambda deployment: deployment.url_of("no-such-photo.jpg"), "image_unreachable"),
}


def assert_failed(deployment: Deployment, urls: list[str], code: str) -> Any:
    job_id = deployment.submit(urls, metadata={"mine": 1})
    job = deployment.wait(job_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == code
    assert job["error"]["stage"] == "ingest"
    assert len(job["error"]["message"].split()) >= 4
    assert deployment.callback(job_id) == {
        "job_id": job_id,
        "status": "failed",
        "error": job["error"]["message"],
        "error_code": code,
        "metadata": {"mine": 1},
    }
    assert requests.get(f"{deployment.service.url}/healthz", timeout=TIMEOUT).ok
    return job["error"]


@pytest.mark.parametrize("kind", BAD_PHOTOS)
def test_one_bad_photo_fails_the_job_with_its_index(deployment: Deployment, kind: str) -> None:
    make, code = BAD_PHOTOS[kind]
    good = deployment.photo_urls(3, seed=77)
    error = assert_failed(deployment, [*good[:2], make(deployment), good[2]], code)
    assert [bad["index"] for bad in error["context"]["images"]] == [2]
    assert "image_urls[2]" in error["message"]


def test_no_photo_can_be_reached(deployment: Deployment) -> None:
    urls = [deployment.url_of(f"nothing-{number}.jpg") for number in range(3)]
    error = assert_failed(deployment, urls, "image_unreachable")
    assert [bad["index"] for bad in error["context"]["images"]] == [0, 1, 2]


def test_thirty_copies_of_one_photo(deployment: Deployment) -> None:
    [name] = write_photos(deployment.photos, 1, seed=88)
    urls = [f"{deployment.url_of(name)}?copy={number}" for number in range(30)]
    assert_failed(deployment, urls, "too_few_images")


def test_two_photos(deployment: Deployment) -> None:
    reply = post(deployment, body_with(deployment, image_urls=deployment.photo_urls(2)))
    assert reply.status_code == 422
    assert "3" in reply.text
