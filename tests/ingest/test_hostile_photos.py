"""Photos that mean harm are refused, or taken for the picture in them; neither takes much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from meshroom_tasks.errors import ImageTooLarge, PhotoError
from meshroom_tasks.ingest import PhotoFacts, inspect_photo
from meshroom_tasks.settings import PROJECT
from tests.ingest import hostile
from tests.ingest.conftest import Ingest, encoded, picture
from tests.loopback import Exchange

MAX_PIXELS = 50_000_000
MOST_MEMORY = 600_000_000
XMP = b"http://ns.adobe.com/xap/1.0/\0"

REFUSED: dict[str, Callable[[], bytes]] = {
    "tiff that claims 4e18 pixels": lambda: hostile.tiff_claiming(2**31 - 1, 2**31 - 1),
    "tiff that claims a little too much": lambda: hostile.tiff_claiming(10_000, 5_001),
    "tiff that claims what it has not": lambda: hostile.tiff_claiming(7_000, 7_000),
    "packed tiff that claims what it has not": lambda: hostile.tiff_claiming(7_000, 7_000, compression=8),
    "tiff of a million strips": lambda: hostile.tiff(64, 48, [b"x"], shared=1_000_000),
    "exif without end": lambda: hostile.jpeg_with(200),
    "bytes between segments without end": lambda: encoded(picture(1))[:2] + bytes(2_000_000) + encoded(picture(1)),
    "0xFF without end": lambda: b"\xff\xd8" + b"\xff" * 2_000_000,
    "packed text of 150 MB": lambda: hostile.png_with(b"iTXt", hostile.international_text(150_000_000, deflated=True)),
}
TAKEN: dict[str, Callable[[], bytes]] = {
    "tiff of many strips": lambda: hostile.tiff_of_many_strips(5_000, 4_700, 4_700),
    "tiff of many strips at the limit": lambda: hostile.tiff_of_many_strips(10_000, 5_000, 5_000),
    "tiff whose strip unpacks to more": lambda: hostile.tiff_whose_strip_unpacks_to(100_000_000),
    "png of zeros": lambda: hostile.png_of_zeros(5_000, 4_700),
    "large exif": lambda: hostile.jpeg_with(60),
    "xmp of 40 MB": lambda: hostile.jpeg_with(600, XMP),
    "exif of 40 MB in a png": lambda: hostile.png_with(b"eXIf", b"\xff" * 40_000_000),
    "text of 40 MB": lambda: hostile.png_with(b"iTXt", hostile.international_text(40_000_000, deflated=False)),
    "jpeg that is a zip": hostile.jpeg_and_zip,
    "jpeg that is a page": hostile.jpeg_and_page,
}


def inspect(folder: Path, data: bytes) -> PhotoFacts:
    (folder / "photo").write_bytes(data)
    return inspect_photo(folder / "photo", max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PhotoError) as caught:
        inspect(tmp_path, REFUSED[name]())
    assert isinstance(caught.value, ImageTooLarge) == ("claims 4e18" in name or "a little" in name)


@pytest.mark.parametrize("name", TAKEN)
def test_taken_for_what_the_first_bytes_say(tmp_path: Path, name: str) -> None:
    data = TAKEN[name]()
    assert inspect(tmp_path, data).media_type == {b"\xff": "image/jpeg", b"I": "image/tiff"}.get(data[:1], "image/png")


def test_a_gif_in_front_of_a_jpeg_is_a_gif(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="GIF"):
        inspect(tmp_path, b"GIF89a" + encoded(picture(1)))


def test_two_answers_are_never_stitched_together(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that breaks off and has another photo the next time: what counts is one whole answer."""
    monkeypatch.setattr("meshroom_tasks.ingest.download._backoff", lambda state: 0.01)
    first, second, *others = (encoded(picture(seed, 200, 150)) for seed in range(4))
    answers = iter((first, second))

    def changing(exchange: Exchange) -> None:
        body = next(answers)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nETag: x\r\nAccept-Ranges: bytes\r\n\r\n"
        exchange.raw(head.encode() + (body[: len(body) // 2] if body == first else body))

    ingest.site.routes["/changing"] = changing
    found = ingest([ingest.site.url("/changing"), *ingest.offer(*others)])
    stored = ingest.storage.get_bytes(f"inputs/{found.photos_digest}/{found.photos[0].name}")
    assert stored == second
    asked = [request for request in ingest.site.received if request.path == "/changing"]
    assert len(asked) == 2
    assert not any("range" in request.headers or "if-range" in request.headers for request in asked)


_INGEST = """
import json, sys
from pathlib import Path
from meshroom_tasks.egress import Egress, guarded_session
from meshroom_tasks.errors import (ServiceError)
from meshroom_tasks.ingest import IngestLimits, ingest_photos
from meshroom_tasks.storage import LocalStorage

about = json.loads(sys.argv[1])
try:
    found = ingest_photos(
        about["urls"],
        session=guarded_session(Egress(frozenset({about["authority"]})), max_redirects=3),
        storage=LocalStorage(Path(about["folder"]) / "storage"),
        limits=IngestLimits(max_image_pixels=about["max_pixels"], skip_bad_images=True),
        scratch=Path(about["folder"]) / "scratch",
        progress=lambda fraction: None,
        stop=lambda: None,
        uploads={},
        client_photos=None,
    )
    outcome = [photo.index for photo in found.photos]
except ServiceError as error:
    outcome = error.code
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"outcome": outcome, "peak": int(peak) * 1024}))
"""


def test_memory_of_a_worker_that_gets_them_all(ingest: Ingest, tmp_path: Path) -> None:
    bodies = [make() for make in (*TAKEN.values(), *REFUSED.values())]
    about = {
        "urls": ingest.offer(*bodies),
        "authority": ingest.site.authority,
        "folder": str(tmp_path),
        "max_pixels": MAX_PIXELS,
    }
    ran = subprocess.run(
        [sys.executable, "-c", _INGEST, json.dumps(about)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    told = json.loads(ran.stdout)
    assert told["outcome"] == list(range(len(TAKEN)))
    assert told["peak"] < MOST_MEMORY
