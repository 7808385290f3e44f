"""StructureFromMotion: where the photos were taken, and a sparse cloud of landmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from meshroom_tasks.cpu_engine.attributes import BoolParam, File, FileList, FloatParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError
from meshroom_tasks.cpu_engine.nodes.feature_extraction import describer_types
from meshroom_tasks.cpu_engine.nodes.feature_matching import FeatureMatching

if TYPE_CHECKING:
    from meshroom_tasks.cpu_engine.colmap import TwoViews
    from meshroom_tasks.cpu_engine.sfm_data import View
    from meshroom_tasks.cpu_engine.sparse import Sparse


class StructureFromMotion(Node):
    """Incremental mapping by COLMAP (J. Schoenberger, J.-M. Frahm, Structure-from-Motion Revisited, CVPR 2016).

    Writes `scene.json` and `landmarks.npz` for the nodes after it, `cameras.sfm` (AliceVision's JSON) and `stats.json`
    (Meshroom's form). Fails where fewer than three cameras are registered.
    """

    node_type = "StructureFromMotion"
    attributes = (
        File("input", "Views (cameraInit.sfm)."),
        FileList("featuresFolders", "Folders with the features."),
        FileList("matchesFolders", "Folders with the matches."),
        describer_types("Kind of features to use."),
        BoolParam("lockAllIntrinsics", "Keep focal lengths as the metadata tell them, without distortion.", False),
        FloatParam("maxReprojectionError", "Largest error of an observation in pixels.", 4.0, low=0.1, high=100.0),
        FloatParam("minAngleForLandmark", "Smallest angle between two rays to a landmark, in degrees.", 1.5, high=45.0),
        BoolParam(
            "useAutoTransform", "Turn the scene upright, centre it, and scale it to the cameras' distance.", True
        ),
    )
    outputs: ClassVar[Mapping[str, str]] = {
        "output": "scene.json",
        "outputViewsAndPoses": "cameras.sfm",
        "extraInfoFolder": "",
    }

    def process(self, chunk: NodeChunk) -> None:
        import time

        from meshroom_tasks.cpu_engine import colmap
        from meshroom_tasks.cpu_engine.matches import read_matches
        from meshroom_tasks.cpu_engine.scene import write_scene
        from meshroom_tasks.cpu_engine.sfm_data import read_sfm, write_sfm
        from meshroom_tasks.cpu_engine.sparse import sparse_scene

        started = time.monotonic()
        colmap.quieten()
        views = read_sfm(chunk.path("input"))
        chunks = math.ceil(len(views) / FeatureMatching.block_size)
        try:
            matches = read_matches(chunk.attributes["matchesFolders"], [view.view_id for view in views], chunks)
        except FileNotFoundError as error:
            raise NodeError(f"Input 'matchesFolders' is missing: {error}") from error
        if not matches:
            raise NodeError("No valid tracks.")
        chunk.log(f"{len(matches)} pairs of photos with {sum(len(two.matches) for two in matches)} matches")
        found = self._map(chunk, views, matches)
        if found is None:
            raise NodeError("No valid initial pair found automatically.")
        registered = found.num_reg_images()
        if registered < 3:
            raise NodeError(f"Too few cameras registered: {registered} of {len(views)}")
        sparse = sparse_scene(found, views, chunk.attributes["useAutoTransform"])
        write_scene(chunk.folder, sparse.scene)
        write_sfm(chunk.folder / "cameras.sfm", sparse.views, sparse.poses, sparse.scene.landmarks)
        self._report(chunk, sparse, time.monotonic() - started)

    @staticmethod
    def _map(chunk: NodeChunk, views: tuple[View, ...], matches: list[TwoViews]) -> Any:
        """The largest reconstruction, or None."""
        import tempfile
        from pathlib import Path

        import pycolmap

        from meshroom_tasks.cpu_engine import colmap
        from meshroom_tasks.cpu_engine.features import find_features, read_features

        (describer,) = chunk.attributes["describerTypes"]
        try:
            features = {
                index: read_features(find_features(chunk.attributes["featuresFolders"], view.view_id, describer))
                for index, view in enumerate(views)
            }
        except FileNotFoundError as error:
            raise NodeError(str(error)) from error
        options = pycolmap.IncrementalPipelineOptions()
        options.num_threads = chunk.threads
        options.random_seed = colmap.SEED
        options.extract_colors = False
        options.min_model_size = 3
        options.max_num_models = 10
        options.mapper.filter_max_reproj_error = chunk.attributes["maxReprojectionError"]
        options.mapper.filter_min_tri_angle = chunk.attributes["minAngleForLandmark"]
        locked = chunk.attributes["lockAllIntrinsics"]
        options.ba_refine_focal_length = not locked
        options.ba_refine_extra_params = not locked
        options.mapper.abs_pose_refine_focal_length = not locked
        options.mapper.abs_pose_refine_extra_params = not locked
        steps = 1

        def next_image() -> None:
            nonlocal steps
            steps += 1
            chunk.progress(min(steps, len(views)), len(views), "Robust Resection of view")

        with tempfile.TemporaryDirectory(dir=chunk.folder) as folder:
            path = Path(folder) / "colmap.db"
            with colmap.database(path, views, features) as base:
                colmap.write_two_views(base, matches)
            models = pycolmap.incremental_mapping(path, folder, folder, options, next_image_callback=next_image)
        return max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None)

    @staticmethod
    def _report(chunk: NodeChunk, sparse: Sparse, seconds: float) -> None:
        import json
        import os

        scene = sparse.scene
        histogram = {str(length): str(count) for length, count in sorted(sparse.track_lengths.items())}
        figures = {
            "views": str(scene.view_count),
            "validViews": str(len(scene.cameras)),
            "poses": str(len(scene.cameras)),
            "points": str(len(scene.landmarks)),
            "residual": repr(sparse.residual),
            "observationsHistogram": histogram,
            "time": repr(seconds),
        }
        content = {"sfm": figures, "hardware": {"cpu": {"cores": str(os.cpu_count())}}}
        (chunk.folder / "stats.json").write_text(json.dumps(content, indent=4), encoding="utf-8")
        used = {camera.view_id for camera in scene.cameras}
        for view in sparse.views:
            if view.view_id not in used:
                chunk.warn(f"{view.path.name} could not be registered")
        chunk.log("Structure from Motion results:")
        chunk.log(f"  # input images: {scene.view_count}")
        chunk.log(f"  # poses: {len(scene.cameras)}")
        chunk.log(f"  # landmarks: {len(scene.landmarks)}")
        chunk.log(f"  mean reprojection error: {sparse.residual:.3f} px")
