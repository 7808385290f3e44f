"""What planning learns from the photos of a folder: their order, sizes, and the focal length of each camera.

Follows AliceVision's cameraInit where it can: views that were taken with the same camera, size and focal length share
an intrinsic; photos without metadata share one per size, as with `groupCameraFallback = folder`.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from meshroom_tasks.cpu_engine.sensor_database import NO_SENSORS, Sensors

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
FULL_FRAME_DIAGONAL = math.hypot(36.0, 24.0)


class PhotoError(ValueError):
    """No photos, or one that cannot be read."""


@dataclass(frozen=True)
class PhotoHeader:
    """Size in pixels as stored (EXIF rotation not applied, but for a TIFF) and the metadata that matter."""

    path: Path
    width: int
    height: int
    metadata: dict[str, str]
    focal: float | None
    """Focal length in pixels of the stored image; None when the metadata do not tell."""
    sensor_width: float | None = None
    """Millimetres along the image's width, where the focal length was read with the sensor database."""


def find_photos(folder: Path) -> list[Path]:
    """The photos of a folder by name. Raises PhotoError when there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise PhotoError(f"No photos in {folder}: expected files ending in {', '.join(SUFFIXES)}")
    return found


def read_header(path: Path, sensors: Sensors = NO_SENSORS) -> PhotoHeader:
    """Read a photo's header without decoding the picture. Raises PhotoError when it is none.

    Where `sensors` knows the camera, its width goes before the 35 mm equivalent, as in AliceVision.
    """
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(path) as image:
            width, height = image.size
            exif = image.getexif()
            is_turned = image.format == "TIFF"  # Pillow gives the size of these as they are upright.
            details = exif.get_ifd(ExifTags.IFD.Exif)
    except (OSError, SyntaxError, ValueError) as error:
        raise PhotoError(f"Photo {path.name} cannot be read: {error}") from error
    tags = {
        "Make": exif.get(ExifTags.Base.Make),
        "Model": exif.get(ExifTags.Base.Model),
        "Orientation": None if is_turned else exif.get(ExifTags.Base.Orientation),
        "DateTime": exif.get(ExifTags.Base.DateTime),
        "Exif:FocalLength": _positive(details.get(ExifTags.Base.FocalLength)),
        "Exif:FocalLengthIn35mmFilm": _positive(details.get(ExifTags.Base.FocalLengthIn35mmFilm)),
    }
    metadata = {name: str(value).strip("\x00 ") for name, value in tags.items() if value}
    longer = sensors.width_of(metadata.get("Make", ""), metadata.get("Model", ""))
    millimetres = _positive(details.get(ExifTags.Base.FocalLength))
    if longer and millimetres:
        pixels_a_millimetre = max(width, height) / longer
        return PhotoHeader(
            path, width, height, metadata, millimetres * pixels_a_millimetre, width / pixels_a_millimetre
        )
    return PhotoHeader(path, width, height, metadata, _focal_pixels(width, height, details))


def _focal_pixels(width: int, height: int, details: Any) -> float | None:
    """From the 35 mm equivalent, read by the diagonal; else from the pixel pitch on the focal plane."""
    equivalent = _positive(details.get(ExifTags.Base.FocalLengthIn35mmFilm))
    if equivalent:
        return equivalent / FULL_FRAME_DIAGONAL * math.hypot(width, height)
    focal = _positive(details.get(ExifTags.Base.FocalLength))
    density = _positive(details.get(ExifTags.Base.FocalPlaneXResolution))
    millimetres = {2: 25.4, 3: 10.0, 4: 1.0}.get(details.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))
    taken_width = _positive(details.get(ExifTags.Base.ExifImageWidth))
    if focal and density and millimetres and taken_width:
        return focal * density / millimetres * max(width, height) / taken_width
    return None


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def viewpoints_and_intrinsics(
    photos: list[PhotoHeader], default_field_of_view: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """CameraInit's `viewpoints` and `intrinsics` as Meshroom saves them, in the order of the photos.

    `default_field_of_view` (degrees, along the longer side) stands in for a focal length that is not known.
    Focal lengths are given in mm on the sensor; where that is not known, on a full-frame-sized one of the photo's own
    proportions.
    """
    viewpoints: list[dict[str, Any]] = []
    intrinsics: dict[int, dict[str, Any]] = {}
    taken: set[int] = set()
    for index, photo in enumerate(photos):
        camera = (photo.metadata.get("Make", ""), photo.metadata.get("Model", ""))
        intrinsic_id = _number(photo.path.parent, *camera, photo.width, photo.height, photo.focal)
        if intrinsic_id not in intrinsics:
            intrinsics[intrinsic_id] = _intrinsic(intrinsic_id, photo, default_field_of_view)
        view_id = _number(photo.path, index)
        while view_id in taken:
            view_id += 1
        taken.add(view_id)
        viewpoints.append(
            {
                "viewId": view_id,
                "poseId": view_id,
                "path": str(photo.path),
                "intrinsicId": intrinsic_id,
                "rigId": -1,
                "subPoseId": -1,
                "metadata": json.dumps(photo.metadata, sort_keys=True),
            }
        )
    return viewpoints, list(intrinsics.values())


def _intrinsic(intrinsic_id: int, photo: PhotoHeader, default_field_of_view: float) -> dict[str, Any]:
    width, height = photo.width, photo.height
    focal = photo.focal or 0.5 * max(width, height) / math.tan(math.radians(default_field_of_view) / 2)
    sensor_width = photo.sensor_width or FULL_FRAME_DIAGONAL * width / math.hypot(width, height)
    millimetres = focal * sensor_width / width
    return {
        "intrinsicId": intrinsic_id,
        "initialFocalLength": millimetres if photo.focal else -1.0,
        "focalLength": millimetres,
        "pixelRatio": 1.0,
        "pixelRatioLocked": True,
        "type": "radial3",
        "width": width,
        "height": height,
        "sensorWidth": sensor_width,
        "sensorHeight": sensor_width * height / width,
        "serialNumber": "_".join((str(photo.path.parent), *filter(None, (photo.metadata.get("Model"),)))),
        "principalPoint": {"x": 0.0, "y": 0.0},
        "initializationMode": "estimated" if photo.focal else "unknown",
        "distortionInitializationMode": "none",
        "distortionParams": [0.0, 0.0, 0.0],
        "undistortionOffset": {"x": 0.0, "y": 0.0},
        "undistortionParams": [],
        "locked": False,
    }


def _number(*parts: object) -> int:
    """A stable id of 31 bits, never 0."""
    digest = hashlib.sha1("\0".join(map(str, parts)).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1
