"""Small pictures made of large ones, the last of them kept in memory."""

from __future__ import annotations

import io
import threading
import warnings
from collections import OrderedDict

from PIL import Image, ImageOps, UnidentifiedImageError

from meshroom_tasks.storage import Storage

_MOST_BYTES = 48_000_000
_MOST_PIXELS = 60_000_000
"""Of pictures that cannot be opened at a smaller size, as JPEG can: they are decoded as a whole."""
_AT_A_TIME = 2
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
"""Those of photos and results; whatever else the bytes say that they are, no other decoder sees them."""


class Thumbnails:
    """JPEG files, no side longer than `side`. A picture is decoded once, and few at a time."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(_AT_A_TIME)

    def of(self, storage: Storage, key: str, name: str) -> bytes | None:
        """That of the object `key`, whose content `name` names; None where it cannot be shown. Errors of `Storage`."""
        if (known := self._known(name)) is not None:
            return known
        with self._free:
            if (known := self._known(name)) is not None:
                return known
            made = self._make(storage.get_bytes(key))
        if made is not None:
            self._keep(name, made)
        return made

    def _make(self, data: bytes) -> bytes | None:
        try:
            with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                picture.draft("RGB", (self._side, self._side))
                if picture.width * picture.height > _MOST_PIXELS:
                    return None
                upright = ImageOps.exif_transpose(picture)
                upright.thumbnail((self._side, self._side))
                made = io.BytesIO()
                _flat(upright).save(made, "JPEG", quality=82, comment=b"")  # Else that of the original.
                return made.getvalue()
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
            return None

    def _known(self, name: str) -> bytes | None:
        with self._lock:
            if name in self._made:
                self._made.move_to_end(name)
            return self._made.get(name)

    def _keep(self, name: str, made: bytes) -> None:
        with self._lock:
            self._bytes += len(made) - len(self._made.pop(name, b""))
            self._made[name] = made
            while self._bytes > _MOST_BYTES:
                self._bytes -= len(self._made.popitem(last=False)[1])


def _flat(picture: Image.Image) -> Image.Image:
    """Without transparency and odd modes, which JPEG does not have."""
    if picture.mode in ("RGBA", "LA", "PA", "P"):
        seen = picture.convert("RGBA")
        ground = Image.new("RGBA", seen.size, (236, 234, 229, 255))
        return Image.alpha_composite(ground, seen).convert("RGB")
    return picture if picture.mode in ("RGB", "L") else picture.convert("RGB")
