"""What a client says of the camera, brought into the plan.

Meshroom reads the photos and makes the cameras before it applies overrides, so whatever is said of CameraInit must
stand in the template: a copy for this job. Neither the field of view nor the sensor database is part of a uid, so the
copy also marks CameraInit's `invalidation` text, which is part of the uids of everything.

There is no attribute for the sensor's width. AliceVision looks it up by make and model in a file, to which CameraInit's
default points by a variable: planning gets a file of the job's own cameras, and the graph keeps only the variable.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from meshroom_tasks.jobs.records import Camera

Settings = Mapping[str, Mapping[str, Any]]

_NODE_TYPE = "CameraInit"
_DATABASE_VARIABLE = "ALICEVISION_SENSOR_DB"
_NO_FIELD = re.compile(r"[;#\x00-\x1f]")


@dataclass(frozen=True)
class Prepared:
    """What the planning command is given: `overrides` by node name, `environment` besides the usual."""

    template: Path
    overrides: Settings
    environment: Mapping[str, str] = field(default_factory=dict)


def prepare(photos: Path, template: Path, folder: Path, overrides: Settings, camera: Camera) -> Prepared:
    """Write into `folder` what planning needs; the template itself where nothing is said of CameraInit."""
    text = template.read_text(encoding="utf-8")
    adapted = adapted_template(text, overrides, camera)
    if adapted is None:
        return Prepared(template, overrides)
    copy = folder / "template.mg"
    copy.write_text(adapted, encoding="utf-8")
    others = {name: values for name, values in overrides.items() if name not in _cameras(json.loads(text))}
    if camera.sensor_width_mm is None:
        return Prepared(copy, others)
    database = folder / "sensors.db"
    names = sorted({_make_and_model(path) for path in photos.iterdir()} - {("", "")})
    database.write_text(sensor_database(names, camera.sensor_width_mm), encoding="utf-8")
    return Prepared(copy, others, {_DATABASE_VARIABLE: str(database)})


def adapted_template(text: str, overrides: Settings, camera: Camera) -> str | None:
    """A template's JSON with what is said of its CameraInit put in; None: nothing is. Of both releases' format.

    `overrides`: by node name. What `camera` says goes before them.
    """
    document = json.loads(text)
    changed = False
    for name, node in _cameras(document).items():
        said = dict(overrides.get(name, {}))
        if camera.field_of_view_degrees is not None:
            said["defaultFieldOfView"] = float(camera.field_of_view_degrees)
        if not said and camera.sensor_width_mm is None:
            continue
        changed = True
        mark = _mark({**said, "sensor_width_mm": camera.sensor_width_mm})
        if camera.sensor_width_mm is not None:
            said["sensorDatabase"] = f"${{{_DATABASE_VARIABLE}}}"
        node["inputs"] = {**node.get("inputs", {}), **said}
        internal = node.get("internalInputs", {})
        node["internalInputs"] = {**internal, "invalidation": f"{internal.get('invalidation', '')} {mark}".strip()}
    return json.dumps(document, indent=4) if changed else None


def sensor_database(cameras: Iterable[tuple[str, str]], width_mm: float) -> str:
    """AliceVision's sensor database for cameras (make, model) that all have one width. It ignores punctuation when
    it compares, so what would end a field or a line may become a space."""
    lines = (f"{_NO_FIELD.sub(' ', make)};{_NO_FIELD.sub(' ', model)};{width_mm:g};client" for make, model in cameras)
    return "".join(f"{line}\n" for line in lines)


def _cameras(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: node for name, node in document["graph"].items() if node["nodeType"] == _NODE_TYPE}


def _mark(said: Mapping[str, Any]) -> str:
    """No more than letters and digits: Meshroom expands variables in texts."""
    return hashlib.sha1(json.dumps(said, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _make_and_model(photo: Path) -> tuple[str, str]:
    """As EXIF has them, "" where it does not."""
    try:
        with Image.open(photo) as image:
            exif = image.getexif()
    except Exception:  # decoders raise nearly anything on hostile input; the engine is the one to judge it
        return "", ""
    make, model = (str(exif.get(tag) or "").strip("\x00 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return make, model
