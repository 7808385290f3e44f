"""Which files of a folder that came as a whole (a ZIP, a prefix in a bucket) are meant as photos.

Only the choice is made by name; whether one is a photo that can be used is judged by its bytes, like all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_MEANT_AS_PHOTOS = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp"),
    *(".heic", ".heif", ".avif", ".bmp", ".gif", ".dng", ".nef", ".cr2", ".cr3", ".arw"),
)
_LITTER = ("thumbs.db", "desktop.ini")
_NAMED = 20


def is_photo_name(name: str) -> bool:
    """Also of kinds that are not read here: better a clear refusal than a photo that is silently left out."""
    return name.lower().endswith(_MEANT_AS_PHOTOS) and not is_litter(name)


def is_litter(name: str) -> bool:
    """What operating systems leave in folders."""
    *folders, last = name.split("/")
    return last.startswith(".") or last.lower() in _LITTER or "__MACOSX" in folders


def ignored(names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The warning for files beside the photos; none where there are none."""
    if not names:
        return ()
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    message = f"{len(names)} files beside the photos were ignored: {shown}"
    return ({"code": "files_ignored", "message": message, "count": len(names), "names": list(names[:_NAMED])},)
