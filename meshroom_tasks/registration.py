"""The quality gate after StructureFromMotion: which photos were placed, and whether they are enough.

Without it a job whose photos hardly hang together goes on for hours, and ends with a scrap of a model or a failure that
says nothing of its cause.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from meshroom_tasks.errors import TooFewCameras
from meshroom_tasks.jobs.records import Photo, Work

GATED_NODE_TYPE = "StructureFromMotion"
SCENE, FIGURES = "cameras.sfm", "stats.json"
MIN_CAMERAS = 3
"""A surface needs points that at least this many photos agree on."""
WHAT_TO_DO = "take more photos of one object that stands still, each overlapping its neighbours by about 70 %"
_NAMED = 5
_TAIL_LINES = 50


@dataclass(frozen=True)
class Registration:
    """How many photos were `given` and how many `placed`. `left_out`: file names of the others, None: not known."""

    given: int
    placed: int
    left_out: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LeftOut:
    """A photo that was not placed, as its client knows it: its index in the request, and the end of its URL."""

    index: int
    name: str


def check_registration(folder: Path, work: Work, min_share: float) -> tuple[dict[str, Any], ...]:
    """Judge what StructureFromMotion left in `folder`; warns of photos that were left out though the rest are enough.

    Raises TooFewCameras with the log's end. What cannot be read is not judged: the stages after it will tell.
    """
    found = of_scene(_read(folder / SCENE)) or of_figures(_read(folder / FIGURES))
    if found is None:
        return ()
    photos = left_out(found.left_out or (), work.photos, work.image_urls)
    if too_few := judge(found, photos, min_share):
        too_few.log_tail = _tail(folder / "log")
        raise too_few
    return warnings(found, photos)


def of_scene(scene: Mapping[str, Any]) -> Registration | None:
    """From AliceVision's JSON scene (`cameras.sfm`): a view is placed when it has a pose. None: it is no such scene."""
    try:
        posed = {
            str(entry["poseId"])
            for entry in scene.get("poses", ())
            if str(entry.get("pose", {}).get("valid", "1")) != "0"
        }
        views = [(str(view["poseId"]), PurePosixPath(str(view["path"])).name) for view in scene["views"]]
    except (KeyError, TypeError, AttributeError):
        return None
    left_out = tuple(sorted(name for pose, name in views if pose not in posed))
    return Registration(len(views), len(views) - len(left_out), left_out)


def of_figures(figures: Mapping[str, Any]) -> Registration | None:
    """From StructureFromMotion's `stats.json`, which knows no names and holds its numbers as texts."""
    try:
        return Registration(int(figures["sfm"]["views"]), int(figures["sfm"]["poses"]))
    except (KeyError, TypeError, ValueError):
        return None


def left_out(names: Sequence[str], photos: Sequence[Photo], urls: Sequence[str]) -> tuple[LeftOut, ...]:
    """The photos with these file names, in the order of the request."""
    return tuple(LeftOut(photo.index, _known_as(photo, urls)) for photo in photos if photo.name in names)


def judge(found: Registration, photos: Sequence[LeftOut], min_share: float) -> TooFewCameras | None:
    """The error when fewer than three photos, or less than `min_share` (0 to 1) of them, were placed."""
    if found.placed >= MIN_CAMERAS and found.placed >= min_share * found.given:
        return None
    which = f" (left out: {_named(photos)})" if photos else ""
    return TooFewCameras(
        f"only {found.placed} of {found.given} photos could be placed{which}; {WHAT_TO_DO}",
        registered=found.placed,
        given=found.given,
        min_share=min_share,
        left_out=[vars(photo) for photo in photos],
    )


def warnings(found: Registration, photos: Sequence[LeftOut]) -> tuple[dict[str, Any], ...]:
    """What to tell of photos that were left out though the rest are enough."""
    if found.placed >= found.given:
        return ()
    which = f" (left out: {_named(photos)})" if photos else ""
    message = (
        f"only {found.placed} of {found.given} photos could be placed{which}: the others show too little of what their "
        "neighbours show; take more photos in between"
    )
    listed = [vars(photo) for photo in photos]
    return (
        {"code": "photos_not_used", "message": message, "given": found.given, "used": found.placed, "left_out": listed},
    )


def _named(photos: Sequence[LeftOut]) -> str:
    shown = ", ".join(f"{photo.index}: {photo.name}" for photo in photos[:_NAMED])
    return shown + (f" and {len(photos) - _NAMED} more" if len(photos) > _NAMED else "")


def _known_as(photo: Photo, urls: Sequence[str]) -> str:
    """What its client calls it: the last part of its URL's path, without the query, which may hold secrets."""
    if photo.source:
        return photo.source
    path = urlsplit(urls[photo.index]).path if photo.index < len(urls) else ""
    return unquote(PurePosixPath(path).name) or photo.name


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(errors="replace"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _tail(log: Path) -> tuple[str, ...]:
    try:
        return tuple(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    except OSError:
        return ()
