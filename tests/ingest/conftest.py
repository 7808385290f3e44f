from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meshroom_tasks.egress import Egress, guarded_session
from meshroom_tasks.errors import ServiceError
from meshroom_tasks.ingest import Ingested, IngestLimits, ingest_photos
from meshroom_tasks.jobs.uploads import Upload, UploadFile
from meshroom_tasks.storage import ClientPhotos, LocalStorage
from tests.loopback import Site, serving


def picture(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header announces this many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@dataclass
class Ingest:
    """Ingest from a site into a fresh local storage."""

    site: Site
    folder: Path
    limits: IngestLimits = field(default_factory=IngestLimits)
    progress: list[float] = field(default_factory=list)
    stop: Callable[[], ServiceError | None] = lambda: None
    uploads: dict[str, Upload] = field(default_factory=dict)
    client_photos: ClientPhotos | None = None

    def __post_init__(self) -> None:
        self.storage = LocalStorage(self.folder / "storage")
        self.scratch = self.folder / "scratch"

    def offer(self, *bodies: bytes) -> list[str]:
        """Let the site serve these bodies; returns their URLs."""
        urls = []
        for body in bodies:
            path = f"/{len(self.site.routes)}"
            self.site.routes[path] = lambda exchange, body=body: exchange.reply(200, body)
            urls.append(self.site.url(path))
        return urls

    def upload(self, files: dict[str, bytes], **announced: object) -> str:
        """An upload with these files, which have arrived; returns its URL."""
        upload_id = f"{len(self.uploads):032x}"
        told = [replace(UploadFile(name, len(body)), **announced) for name, body in files.items()]  # type: ignore[arg-type]
        now = datetime.now(UTC)
        upload = self.uploads[upload_id] = Upload(upload_id, "default", now, now, tuple(told))
        for number, body in enumerate(files.values()):
            self.storage.put_bytes(upload.key(number), body)
        return f"upload://{upload_id}"

    def __call__(self, urls: list[str]) -> Ingested:
        return ingest_photos(
            urls,
            session=guarded_session(Egress(frozenset({self.site.authority})), max_redirects=3),
            storage=self.storage,
            limits=self.limits,
            scratch=self.scratch,
            progress=self.progress.append,
            stop=self.stop,
            uploads=self.uploads,
            client_photos=self.client_photos,
        )


@pytest.fixture
def ingest(site: Site, tmp_path: Path) -> Ingest:
    return Ingest(site, tmp_path)
