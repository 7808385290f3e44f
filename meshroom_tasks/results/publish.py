"""From the folders of the finished stages to the files that a client gets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.jobs.records import ResultFile, StageView
from meshroom_tasks.results import report
from meshroom_tasks.results.cameras import RegisteredCamera, read_cameras
from meshroom_tasks.results.glb import write_glb
from meshroom_tasks.results.light_glb import write_light_glb
from meshroom_tasks.results.ply import write_ply
from meshroom_tasks.results.textures import MEDIA_TYPES, texture_size
from meshroom_tasks.results.usdz import write_usdz
from meshroom_tasks.results.wavefront import Material, TexturedMesh, read_mtl, read_obj
from meshroom_tasks.storage import Progress, Storage

MESH, MATERIALS, PREVIEW, REPORT, CAMERAS = (
    "texturedMesh.obj",
    "texturedMesh.mtl",
    "preview.png",
    "report.json",
    "cameras.sfm",
)
LIGHT_GLB = "model.light.glb"
_THREADS = 4
_WRITERS = {"glb": ("model.glb", write_glb), "usdz": ("model.usdz", write_usdz), "ply": ("model.ply", write_ply)}
"""By output: the file, and what writes it."""
_MEDIA_TYPES = {
    **MEDIA_TYPES,
    ".obj": "model/obj",
    ".mtl": "model/mtl",
    ".glb": "model/gltf-binary",
    ".usdz": "model/vnd.usdz+zip",
    ".ply": "model/ply",
    ".json": "application/json",
    ".sfm": "application/json",
}

PUBLISHED_NODE_TYPES = ("StructureFromMotion", "Texturing")
"""The stages whose folders the results are made from."""


@dataclass(frozen=True)
class ResultInputs:
    """What the results are made from.

    `folders` holds the finished stages' folders by stage name (`Texturing_1`); needed are those of a Texturing and a
    StructureFromMotion stage, of the others only `stats.json` is read. `stages` are those of the job; ingest and
    plan among them are reported too. `photos` is the number of photos given. A GLB of at least `light_glb_from_bytes`
    has a light copy beside it; 0: none has.
    """

    job_id: str
    folders: Mapping[str, Path]
    stages: Sequence[StageView]
    photos: int
    engine: str
    pipeline: str = "default"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Sequence[str] = ("obj", "glb")
    light_glb_from_bytes: int = 8_000_000
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Published:
    """The files as they lie in storage, and the quality figures that a job shows."""

    files: tuple[ResultFile, ...]
    quality: Mapping[str, Any]


def publish(inputs: ResultInputs, folder: Path, storage: Storage, *, progress: Progress | None = None) -> Published:
    """Store the results under `results/<job id>/`; those that are made here are made in `folder`.

    `NoSurface` when the mesh is empty, `HandoffIncomplete` when a stage's file is missing, `ConversionFailed` when USD
    cannot write; errors of `Storage`.
    The report, the picture and the cameras are always there; models as `outputs` asks.
    """
    texturing = _folder_of(inputs, "Texturing")
    poses = _folder_of(inputs, "StructureFromMotion") / CAMERAS
    folder.mkdir(parents=True, exist_ok=True)

    def store(path: Path) -> ResultFile:
        return _store(inputs.job_id, path, storage, progress)

    # Side by side: the decoders, the compiled kernels and the store all leave the interpreter to others.
    with ThreadPoolExecutor(_THREADS) as threads:
        drawing = threads.submit(_load_preview)
        mesh = read_obj(texturing / MESH)
        materials = read_mtl(texturing / MATERIALS)
        cameras = read_cameras(poses)
        picture = threads.submit(_draw, drawing, mesh, materials, texturing, cameras, folder / PREVIEW)
        files = [threads.submit(store, path) for path in _obj_files(inputs.outputs, texturing, materials)]
        for name, write in (_WRITERS[output] for output in inputs.outputs if output in _WRITERS):
            write(mesh, materials, texturing, folder / name)
            files.append(threads.submit(store, folder / name))
        if "glb" in inputs.outputs and _is_heavy(folder / _WRITERS["glb"][0], inputs.light_glb_from_bytes):
            write_light_glb(mesh, materials, texturing, folder / LIGHT_GLB)
            files.append(threads.submit(store, folder / LIGHT_GLB))
        document = _report(inputs, mesh, _textures(mesh, materials, texturing), picture.result().is_turned)
        (folder / REPORT).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        files += [threads.submit(store, path) for path in (picture.result().path, folder / REPORT, poses)]
    return Published(tuple(file.result() for file in files), _quality(document))


def result_key(job_id: str, name: str) -> str:
    return f"results/{job_id}/{name}"


def _is_heavy(model: Path, limit: int) -> bool:
    return 0 < limit <= model.stat().st_size


def _folder_of(inputs: ResultInputs, node_type: str) -> Path:
    """The folder of the last stage of this type."""
    for stage in reversed(inputs.stages):
        if stage.node_type == node_type and stage.name in inputs.folders:
            return inputs.folders[stage.name]
    raise HandoffIncomplete(f"the pipeline has no finished {node_type} stage to take results from", node_type=node_type)


def _obj_files(outputs: Sequence[str], texturing: Path, materials: Mapping[str, Material]) -> list[Path]:
    """The mesh, its materials and every file that they use, if the OBJ is asked for."""
    if "obj" not in outputs:
        return []
    used = dict.fromkeys(file for material in materials.values() for file in material.files)
    paths = [texturing / name for name in (MESH, *((MATERIALS, *used) if materials else ()))]
    for path in paths:
        if not path.is_file():
            raise HandoffIncomplete(f"the stage left no {path.name}", file=path.name)
    return paths


def _textures(mesh: TexturedMesh, materials: Mapping[str, Material], texturing: Path) -> list[dict[str, Any]]:
    textures = []
    for name in mesh.materials:
        if name in materials and (texture := materials[name].texture) is not None:
            width, height = texture_size(texturing / texture)
            textures.append({"name": texture, "width": width, "height": height})
    return textures


@dataclass(frozen=True)
class _Drawn:
    path: Path
    is_turned: bool


def _load_preview() -> tuple[Callable[..., NDArray[np.uint8]], Callable[..., bool]]:
    # Here, since it loads numba, of which a worker that computes stages has no use: nearly a second and 115 MB.
    from meshroom_tasks.results.preview import is_turned, render_preview

    return render_preview, is_turned


def _draw(
    drawing: Future[tuple[Callable[..., NDArray[np.uint8]], Callable[..., bool]]],
    mesh: TexturedMesh,
    materials: Mapping[str, Material],
    texturing: Path,
    cameras: Sequence[RegisteredCamera],
    target: Path,
) -> _Drawn:
    render, is_turned = drawing.result()
    cv2.imwrite(str(target), render(mesh, materials, texturing, cameras))
    return _Drawn(target, is_turned(mesh, cameras))


def _report(
    inputs: ResultInputs, mesh: TexturedMesh, textures: list[dict[str, Any]], is_turned: bool
) -> dict[str, Any]:
    figures = {name: found for name, path in inputs.folders.items() if (found := report.read_figures(path))}
    types = {stage.name: stage.node_type for stage in inputs.stages}
    of_type = {types[name]: found for name, found in figures.items() if name in types}
    sfm = report.sfm_figures(of_type.get("StructureFromMotion", {}))
    return {
        "version": report.VERSION,
        "job_id": inputs.job_id,
        "pipeline": inputs.pipeline,
        "settings": inputs.settings,
        "engine": {"name": inputs.engine, "versions": dict(inputs.versions)},
        "photos": {"given": inputs.photos, "used": sfm.photos_used},
        "reprojection_error_px": sfm.reprojection_error_px,
        "points": sfm.points,
        "mesh": {
            "vertices": len(mesh.vertices),
            "faces": len(mesh.faces),
            "coverage": of_type.get("Texturing", {}).get("textured_faces_fraction"),
            # Against the world of `cameras.sfm`; Meshroom turns its meshes by half a turn about x.
            "turned": is_turned,
        },
        "textures": textures,
        "stages": report.stage_costs(inputs.stages),
        "totals": report.total_cost(inputs.stages),
        "figures": figures,
        "warnings": [dict(warning) for warning in inputs.warnings],
    }


def _quality(document: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of the report that a job shows by itself."""
    sides = [max(texture["width"], texture["height"]) for texture in document["textures"]]
    return {
        "photos_given": document["photos"]["given"],
        "photos_used": document["photos"]["used"],
        "reprojection_error_px": document["reprojection_error_px"],
        "points": document["points"],
        "vertices": document["mesh"]["vertices"],
        "faces": document["mesh"]["faces"],
        "coverage": document["mesh"]["coverage"],
        "textures": len(sides),
        "texture_side": max(sides, default=None),
    }


def _store(job_id: str, path: Path, storage: Storage, progress: Progress | None) -> ResultFile:
    media_type = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    key = result_key(job_id, path.name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    storage.put_file(key, path, media_type=media_type, progress=progress)
    return ResultFile(path.name, key, path.stat().st_size, digest, media_type)
