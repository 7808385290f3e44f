"""Files that are a picture, a model or a log to us and a page or a script to a browser: none is ever run as one.

What is sent has a media type of ours, whatever its bytes, its name or the request say, and the browser is told to
believe that, and to let it do nothing.
"""

from __future__ import annotations

import hashlib
import io
import uuid
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from meshroom_tasks.ingest import photo_key
from meshroom_tasks.results.publish import _MEDIA_TYPES
from meshroom_tasks.settings import load_settings
from tests.ingest.conftest import encoded, picture, png_chunk
from tests.ingest.hostile import HTML, jpeg_and_page, jpeg_and_zip, png_with
from tests.jobs.conftest import DIGEST, PHOTOS, claim_kind
from tests.servers.seaweedfs import SeaweedFS
from tests.web.conftest import IMAGES, KEY, Site

SCRIPT = b"/*" + HTML + b"*/=1;alert(document.domain)//"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
POLYGLOTS = {
    "jpeg and page": jpeg_and_page(),
    "jpeg and script": encoded(picture(1), comment=SCRIPT),
    "jpeg and zip": jpeg_and_zip() + HTML,
    "png and page": png_with(b"tEXt", b"Comment\0" + HTML) + HTML,
    "png that packs a page": b"\x89PNG\r\n\x1a\n" + png_chunk(b"IDAT", zlib.compress(HTML)) + HTML,
    "gif and page": b"GIF89a" + HTML,
    "gif and script": b"GIF89a=" + SCRIPT,
    "page": HTML,
    "svg": SVG,
    "pdf and page": b"%PDF-1.7\n" + HTML,
    "utf-7": b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "utf-16": HTML.decode().encode("utf-16"),
}
RESULTS = {
    "texturedMesh.obj": "model/obj",
    "model.glb": "model/gltf-binary",
    "preview.png": "image/png",
    "report.json": "application/json",
}
MAY_DO_NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"
ASKING = (
    {},
    {"Accept": "text/html"},
    {"Range": "bytes=6-"},  # For a part that begins as a page.
    {"Range": "bytes=-20"},
)


def assert_harmless(answer: TestResponse, media_type: str) -> None:
    assert answer.status_code in (200, 206), answer.data
    assert answer.headers.getlist("Content-Type") == [media_type]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == MAY_DO_NOTHING
    answer.close()  # Only so many downloads may be open.


def with_results(site: Site, data: bytes) -> str:
    """A job whose every result is these bytes."""
    job_id = site.submit(image_urls=IMAGES)
    site.finish(job_id, dict.fromkeys(RESULTS, data))
    return job_id


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One for all of them."""
    return Site(load_settings(x_api_key=KEY, data_dir=tmp_path_factory.mktemp("polyglots")))


@pytest.mark.parametrize("kind", POLYGLOTS)
def test_results(site: Site, client: FlaskClient, kind: str) -> None:
    job_id = with_results(site, POLYGLOTS[kind])
    for name, media_type in RESULTS.items():
        for place in (
            f"/results/{job_id}/{name}",
            f"/api/v1/jobs/{job_id}/results/{name}",
            f"/jobs/{job_id}/files/{name}",
        ):
            for headers in ASKING:
                answer = client.get(place, headers=headers)
                assert_harmless(answer, media_type)
                if not place.startswith("/jobs/"):
                    shown = "inline" if media_type in ("image/png", "application/json") else "attachment"
                    assert answer.headers["Content-Disposition"] == f'{shown}; filename="{name}"'
    assert_harmless(client.get(f"/results/{job_id}/all.zip"), "application/zip")


def test_no_media_type_of_results_is_one_that_browsers_run() -> None:
    assert not any(
        word in media_type for media_type in _MEDIA_TYPES.values() for word in ("html", "svg", "xml", "script")
    )
    assert {name: _MEDIA_TYPES[Path(name).suffix] for name in RESULTS} == RESULTS


def test_pictures_of_pages(make_site: Callable[..., Site]) -> None:
    """Photos and previews are drawn anew: what was hidden beside their pixels is not passed on."""
    site = make_site()
    client, job_id = site.client(), site.submit(image_urls=IMAGES)
    photos = [
        replace(PHOTOS[0], index=index, name=f"{index:04d}_aaaaaaaa.jpg", sha256=hashlib.sha256(data).hexdigest())
        for index, data in enumerate(POLYGLOTS.values())
    ]
    for photo, data in zip(photos, POLYGLOTS.values(), strict=True):
        site.storage.put_bytes(photo_key(DIGEST, photo.name), data)
    ingest = claim_kind(site.store, "ingest")
    assert ingest is not None
    site.store.use_photos(ingest, DIGEST)
    assert site.store.finish_ingest(ingest, tuple(photos), DIGEST, ())
    for number, (kind, data) in enumerate(POLYGLOTS.items()):
        site.finish(job_id, {"preview.png": data})
        for place in (f"photos/{number}", f"photos/{number}?large", "picture"):
            answer = client.get(f"/jobs/{job_id}/{place}")
            is_picture = kind.startswith(("jpeg", "png and"))
            assert b"script" not in answer.data
            assert_harmless(answer, "image/jpeg" if is_picture else "image/svg+xml; charset=utf-8")
            if is_picture:
                with Image.open(io.BytesIO(answer.data)) as drawn:
                    assert drawn.format == "JPEG"


@pytest.mark.parametrize("kind", POLYGLOTS)
def test_logs(site: Site, client: FlaskClient, kind: str) -> None:
    """An engine repeats what strangers sent: names, comments, metadata."""
    job_id = site.submit(image_urls=IMAGES)
    site.storage.put_bytes(f"jobs/{job_id}/logs/plan/0.log", POLYGLOTS[kind])
    for query in ("", "?tail=5"):
        for headers in ASKING:
            answer = client.get(f"/api/v1/jobs/{job_id}/logs/plan{query}", headers=headers)
            assert_harmless(answer, "text/plain; charset=utf-8")


def test_results_that_the_store_sends_itself(make_site: Callable[..., Site], seaweedfs: SeaweedFS) -> None:
    """Its address says the type too, and cannot be changed to say another."""
    site = make_site(**seaweedfs.settings(f"polyglots-{uuid.uuid4().hex}"))
    job_id = with_results(site, POLYGLOTS["jpeg and page"])
    for name, media_type in RESULTS.items():
        address = site.visitor().get(f"/results/{job_id}/{name}").headers["Location"]
        assert requests.get(address, timeout=60).headers["Content-Type"] == media_type
        signed = f"response-content-type={media_type.replace('/', '%2F')}"
        assert signed in address
        assert requests.get(address.replace(signed, "response-content-type=text%2Fhtml"), timeout=60).status_code == 403
