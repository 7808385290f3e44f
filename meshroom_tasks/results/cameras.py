"""The registered cameras of a reconstruction, read from AliceVision's JSON scene (`cameras.sfm`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.errors import HandoffIncomplete

_QUARTER_TURNS = {"3": 2, "4": 2, "5": 1, "6": 1, "7": 3, "8": 3}
"""Clockwise quarter turns that put a photo upright, by its EXIF orientation (mirroring set aside)."""


@dataclass(frozen=True, eq=False)
class RegisteredCamera:
    """A pinhole view as its photo is shown upright, without lens distortion.

    `rotation` (3, 3) takes world to camera (x right, y down, z forward), `centre` (3,) is its place in the world;
    `focal` and the size are in pixels, the principal point is taken to be the middle.
    """

    rotation: NDArray[np.float64]
    centre: NDArray[np.float64]
    width: int
    height: int
    focal: float

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (N, 2) and depths (N,) of world points (N, 3); what is not in front has a depth of zero or less."""
        local = (points - self.centre) @ self.rotation.T
        depth = local[:, 2]
        safe = np.where(depth > 0, depth, np.inf)
        return local[:, :2] / safe[:, None] * self.focal + (np.array([self.width, self.height]) - 1) / 2, depth


def read_cameras(path: Path) -> tuple[RegisteredCamera, ...]:
    """The views that have a pose. `HandoffIncomplete` when the file is missing or is no such scene."""
    if not path.is_file():
        raise HandoffIncomplete(f"the stage left no {path.name}", file=path.name)
    try:
        scene = json.loads(path.read_text())
        intrinsics = {str(entry["intrinsicId"]): entry for entry in scene.get("intrinsics", ())}
        poses = {
            str(entry["poseId"]): entry["pose"]["transform"]
            for entry in scene.get("poses", ())
            if str(entry["pose"].get("valid", "1")) != "0"
        }
        return tuple(
            _camera(view, intrinsics[str(view["intrinsicId"])], poses[str(view["poseId"])])
            for view in scene.get("views", ())
            if str(view.get("poseId")) in poses and str(view.get("intrinsicId")) in intrinsics
        )
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise HandoffIncomplete(f"{path.name} is no scene that can be read ({error!r})", file=path.name) from error


def _camera(view: Mapping[str, Any], intrinsic: Mapping[str, Any], transform: Mapping[str, Any]) -> RegisteredCamera:
    width, height = int(intrinsic["width"]), int(intrinsic["height"])
    # The nine numbers are stored by columns, so that read by rows they are the rotation from camera to world.
    rotation = np.array([float(value) for value in transform["rotation"]]).reshape(3, 3).T
    centre = np.array([float(value) for value in transform["center"]])
    turns = _QUARTER_TURNS.get(_orientation(view), 0)
    upright = np.linalg.matrix_power(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), turns)
    return RegisteredCamera(
        rotation=upright @ rotation,
        centre=centre,
        width=height if turns % 2 else width,
        height=width if turns % 2 else height,
        focal=_focal(intrinsic, width),
    )


def _focal(intrinsic: Mapping[str, Any], width: int) -> float:
    """In pixels; old scenes hold it so, newer ones in millimetres of the sensor."""
    if "pxFocalLength" in intrinsic:
        value = intrinsic["pxFocalLength"]
        return float(value[0] if isinstance(value, list) else value)
    return float(intrinsic["focalLength"]) / float(intrinsic["sensorWidth"]) * width


def _orientation(view: Mapping[str, Any]) -> str:
    metadata = view.get("metadata") or {}
    if isinstance(metadata, str):
        metadata = json.loads(metadata)
    return str(metadata.get("Orientation", metadata.get("Exif:Orientation", "1")))
