"""CameraInit: the list of views and cameras that everything else starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from meshroom_tasks.cpu_engine.attributes import File, FloatParam, Records
from meshroom_tasks.cpu_engine.node import Node, NodeChunk
from meshroom_tasks.cpu_engine.sfm_data import views_of, write_sfm

FOCAL_MISSING = "Image '{name}' focal length (in mm) metadata is missing."


def photos_without_focal(viewpoints: Sequence[Mapping[str, Any]], intrinsics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the photos whose metadata do not tell a focal length, in their order."""
    return [view.path.name for view in views_of(viewpoints, intrinsics) if not view.intrinsic.known]


class CameraInit(Node):
    """Write views and intrinsics as `cameraInit.sfm`.

    The photos' headers are read when the graph is planned, as Meshroom does; no photo is opened here.
    """

    node_type = "CameraInit"
    attributes = (
        Records("viewpoints", "The photos, in order.", identity=("path",)),
        Records(
            "intrinsics",
            "Cameras with their focal lengths; follow from the photos.",
            identity=("width", "height", "focalLength", "sensorWidth"),
        ),
        File(
            "sensorDatabase",
            "Sensor widths by make and model, in AliceVision's form; read when the graph is planned.",
            "${ALICEVISION_SENSOR_DB}",
            invalidates=False,
        ),
        FloatParam(
            "defaultFieldOfView",
            "Field of view along the longer side, in degrees, of photos whose metadata do not tell it.",
            45.0,
            low=1.0,
            high=179.0,
        ),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": "cameraInit.sfm"}

    def process(self, chunk: NodeChunk) -> None:
        views = views_of(chunk.attributes["viewpoints"], chunk.attributes["intrinsics"])
        without = [view for view in views if not view.intrinsic.known]
        for view in without:
            chunk.warn(FOCAL_MISSING.format(name=view.path.name))
        write_sfm(chunk.folder / "cameraInit.sfm", views)
        chunk.log("CameraInit report:")
        chunk.log(f"  # Views: {len(views)}")
        chunk.log(f"  # with focal length initialization (from metadata): {len(views) - len(without)}")
        chunk.log(f"  # Cameras Intrinsics: {len({view.intrinsic.intrinsic_id for view in views})}")
