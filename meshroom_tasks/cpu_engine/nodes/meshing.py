"""Meshing: one surface through all depth maps, or, for a draft, through the sparse landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from meshroom_tasks.cpu_engine.attributes import BoolParam, ChoiceParam, File, FloatParam, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError

if TYPE_CHECKING:
    from meshroom_tasks.cpu_engine.fusion import Cloud
    from meshroom_tasks.cpu_engine.scene import Scene


class Meshing(Node):
    """A triangle mesh from the depth maps.

    They are fused into oriented points (fusion.py), cut to the space that the photos look at, turned into a surface by
    screened Poisson reconstruction, trimmed to what the points support, and simplified (surface.py). Without depth maps
    the points are StructureFromMotion's landmarks (sparse_cloud.py): a coarse mesh, soon made.
    """

    node_type = "Meshing"
    sized_by_views = False
    attributes = (
        File("input", "Scene from StructureFromMotion."),
        File("depthMapsFolder", "Depth maps from DepthMapFilter; without them the mesh is a draft."),
        ChoiceParam("outputMeshFileType", "File type of the mesh.", "ply", values=("ply", "obj")),
        BoolParam("estimateSpaceFromSfM", "Cut to the space about the well-observed landmarks.", True),
        IntParam("estimateSpaceMinObservations", "Photos that must see a landmark to count.", 3, low=2, high=100),
        FloatParam("estimateSpaceMinObservationAngle", "Angle in degrees under which it must be seen.", 10.0, high=120),
        IntParam("maxInputPoints", "Greatest number of depths to start from.", 4_000_000, low=1000, high=500_000_000),
        IntParam("maxPoints", "Greatest number of the mesh's vertices, about.", 60_000, low=100, high=50_000_000),
        IntParam("minStep", "Least step in pixels between depths in use.", 2, low=1, high=20),
        IntParam("minVis", "Photos that must have given a point.", 2, low=1, high=20),
    )
    outputs: ClassVar[Mapping[str, str]] = {
        "outputMesh": "mesh.{outputMeshFileTypeValue}",
        "output": "densePointCloud.ply",
    }

    def process(self, chunk: NodeChunk) -> None:
        # OpenCV before pycolmap: loaded the other way round, their two copies of zlib crash each other.
        import cv2  # noqa: F401

        from meshroom_tasks.cpu_engine.mesh_files import write_mesh_file
        from meshroom_tasks.cpu_engine.ply import write_cloud
        from meshroom_tasks.cpu_engine.scene import read_scene, write_scene
        from meshroom_tasks.cpu_engine.surface import (
            DENSE,
            SPARSE,
            inside_box,
            poisson_surface,
            simplified,
            space_of_interest,
        )

        values = chunk.attributes
        scene = read_scene(chunk.folder_of("input"))
        is_draft = not values["depthMapsFolder"]
        cloud = _landmarks(chunk, scene) if is_draft else _fused(chunk, scene)
        if values["estimateSpaceFromSfM"]:
            box = space_of_interest(
                scene, values["estimateSpaceMinObservations"], values["estimateSpaceMinObservationAngle"]
            )
            if box is not None:
                cloud = cloud.select(inside_box(cloud.points, box))
                chunk.log(f"{len(cloud)} of them in the space that the photos look at")
        if len(cloud) < 100:
            raise NodeError("Depth map fusion gives an empty result.")
        chunk.progress(1, 3, "points gathered")
        vertices, faces = poisson_surface(cloud, values["maxPoints"], SPARSE if is_draft else DENSE)
        chunk.progress(2, 3, f"surface of {len(faces)} faces")
        vertices, faces = simplified(vertices, faces, values["maxPoints"], chunk.threads)
        if len(faces) == 0:
            raise NodeError("No valid mesh was generated.")
        chunk.progress(3, 3, f"simplified to {len(faces)} faces, {len(vertices)} vertices")
        write_mesh_file(chunk.folder / f"mesh.{values['outputMeshFileType']}", vertices, faces)
        write_cloud(chunk.folder / "densePointCloud.ply", cloud.points, cloud.normals)
        write_scene(chunk.folder, scene)


def _fused(chunk: NodeChunk, scene: Scene) -> Cloud:
    """The points that depth maps agree on."""
    from meshroom_tasks.cpu_engine.depth_maps import read_depth_maps
    from meshroom_tasks.cpu_engine.fusion import fuse, sampling_step
    from meshroom_tasks.cpu_engine.partners import stereo_partners

    values = chunk.attributes
    partners = stereo_partners(scene, count=10, min_angle=2.0, max_angle=70.0)
    found = read_depth_maps(chunk.path("depthMapsFolder"), scene.cameras)
    number = {view: k for k, view in enumerate(view for view, m in enumerate(found) if m is not None)}
    maps = [m for m in found if m is not None]
    partners = [[number[p] for p in partners[view] if p in number] for view in number]
    step = sampling_step(maps, values["minStep"], values["maxInputPoints"])
    cloud = fuse(maps, partners, step, values["minVis"])
    chunk.log(f"{len(cloud)} points from {len(maps)} depth maps, every {step} pixels")
    return cloud


def _landmarks(chunk: NodeChunk, scene: Scene) -> Cloud:
    """The sparse points, for want of depth maps."""
    from meshroom_tasks.cpu_engine.sparse_cloud import landmark_cloud

    cloud = landmark_cloud(scene)
    chunk.log(f"{len(cloud)} points from {len(scene.landmarks)} landmarks, without depth maps")
    return cloud
