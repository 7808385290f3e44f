"""Views, intrinsics and poses in AliceVision's JSON format (`cameraInit.sfm`, `cameras.sfm`): numbers as strings.

AliceVision's conventions: the focal length is in mm on a sensor of `sensorWidth` mm; the principal point is an offset
from the image's middle in pixels; a pose holds the rotation from world to camera and the camera's centre; distortion
of type radial3 multiplies an undistorted direction at radius r by 1 + k1 r^2 + k2 r^4 + k3 r^6. Pixel centres lie at
half-integer coordinates, as in COLMAP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshroom_tasks.cpu_engine.scene import Landmarks

MOST_LANDMARKS = 20_000

_VERSION = ["1", "2", "6"]


@dataclass(frozen=True)
class Intrinsic:
    """A camera before undistortion. Lengths in pixels; the principal point is absolute."""

    intrinsic_id: int
    width: int
    height: int
    focal: float
    principal: tuple[float, float]
    distortion: tuple[float, float, float]
    """k1, k2, k3 of type radial3."""
    known: bool
    """Whether the focal length comes from the photo's metadata."""
    sensor_width: float
    """Millimetres."""
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The JSON object that this was read from."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Intrinsic:
        width, height = int(record["width"]), int(record["height"])
        sensor_width = float(record["sensorWidth"])
        offset = record["principalPoint"]
        x, y = (offset["x"], offset["y"]) if isinstance(offset, dict) else offset
        k1, k2, k3 = map(float, record["distortionParams"])
        return cls(
            intrinsic_id=int(record["intrinsicId"]),
            width=width,
            height=height,
            focal=float(record["focalLength"]) / sensor_width * width,
            principal=(width / 2 + float(x), height / 2 + float(y)),
            distortion=(k1, k2, k3),
            known=record["initializationMode"] != "unknown",
            sensor_width=sensor_width,
            record=record,
        )

    def as_record(self) -> dict[str, Any]:
        """AliceVision's JSON object, with what was read for all that is not a field here."""
        own = {
            "focalLength": self.focal * self.sensor_width / self.width,
            "principalPoint": [self.principal[0] - self.width / 2, self.principal[1] - self.height / 2],
            "distortionParams": list(self.distortion),
        }
        return {key: _as_text(value) for key, value in {**self.record, **own}.items()}


@dataclass(frozen=True)
class View:
    """A photo that was given."""

    view_id: int
    path: Path
    intrinsic: Intrinsic
    metadata: Mapping[str, str]

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8; 1 where the photo does not tell."""
        text = self.metadata.get("Orientation", "1")
        return int(text) if text.isdigit() and 1 <= int(text) <= 8 else 1


@dataclass(frozen=True)
class Pose:
    """Where a registered view was taken."""

    rotation: Sequence[float]
    """9 numbers, column by column as AliceVision writes its matrices: world to camera."""
    centre: Sequence[float]
    """3 numbers: the camera's position in the world."""


def views_of(viewpoints: Sequence[Mapping[str, Any]], intrinsics: Sequence[Mapping[str, Any]]) -> tuple[View, ...]:
    """Views from CameraInit's attributes, in their order."""
    by_id = {intrinsic.intrinsic_id: intrinsic for intrinsic in map(Intrinsic.from_record, intrinsics)}
    return tuple(
        View(
            view_id=int(viewpoint["viewId"]),
            path=Path(viewpoint["path"]),
            intrinsic=by_id[int(viewpoint["intrinsicId"])],
            metadata=_metadata(viewpoint.get("metadata", {})),
        )
        for viewpoint in viewpoints
    )


def _metadata(value: Any) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(value) if isinstance(value, str) else value
    return found


def write_sfm(
    path: Path,
    views: Sequence[View],
    poses: Mapping[int, Pose] | None = None,
    landmarks: Landmarks | None = None,
) -> None:
    """Write views and intrinsics, and where they are known the poses (view id -> pose) and some of the landmarks.

    These are for looking at: evenly chosen, at most `MOST_LANDMARKS`, rounded, and without their observations.
    """
    intrinsics = {view.intrinsic.intrinsic_id: view.intrinsic for view in views}
    content: dict[str, Any] = {
        "version": _VERSION,
        "views": [
            {
                "viewId": str(view.view_id),
                "poseId": str(view.view_id),
                "frameId": str(index),
                "intrinsicId": str(view.intrinsic.intrinsic_id),
                "path": str(view.path),
                "width": str(view.intrinsic.width),
                "height": str(view.intrinsic.height),
                "metadata": dict(view.metadata),
            }
            for index, view in enumerate(views)
        ],
        "intrinsics": [intrinsic.as_record() for intrinsic in intrinsics.values()],
    }
    if poses is not None:
        content["poses"] = [
            {
                "poseId": str(view_id),
                "pose": {
                    "transform": {"rotation": _as_text(list(pose.rotation)), "center": _as_text(list(pose.centre))},
                    "locked": "0",
                },
            }
            for view_id, pose in poses.items()
        ]
    if landmarks is not None:
        content["structure"] = _structure(landmarks)
    path.write_text(json.dumps(content, indent=4 if landmarks is None else None), encoding="utf-8")


def _structure(landmarks: Landmarks) -> list[dict[str, Any]]:
    step = max(1, -(-len(landmarks) // MOST_LANDMARKS))
    return [
        {
            "landmarkId": str(index),
            "descType": "dspsift",
            "color": [str(value) for value in landmarks.rgb[index].tolist()],
            "X": [f"{value:.6g}" for value in landmarks.xyz[index].tolist()],
        }
        for index in range(0, len(landmarks), step)
    ]


def read_sfm(path: Path) -> tuple[View, ...]:
    """The views of a file that `write_sfm` wrote, in CameraInit's order."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return views_of(content["views"], content["intrinsics"])


def _as_text(value: Any) -> Any:
    """Numbers as strings with all their digits, as AliceVision writes them."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return str(value)
