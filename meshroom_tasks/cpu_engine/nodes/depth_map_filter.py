"""DepthMapFilter: only depths that several photos agree on stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from meshroom_tasks.cpu_engine.attributes import File, FloatParam, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError

_LOW_SCORE = 0.6
"""Mean ZNCC below which a match counts as of low similarity."""


class DepthMapFilter(Node):
    """Depth maps without what the other photos' maps contradict or do not confirm (see depth_filter.py)."""

    node_type = "DepthMapFilter"
    block_size = 24
    attributes = (
        File("input", "Scene from StructureFromMotion."),
        File("depthMapsFolder", "Depth maps from DepthMap."),
        FloatParam("minViewAngle", "Least angle in degrees between the rays of two photos.", 2.0, low=0, high=180),
        FloatParam("maxViewAngle", "Greatest angle in degrees between the rays of two photos.", 70.0, low=10, high=180),
        IntParam("nNearestCams", "Other photos that a depth is checked against.", 10, low=1, high=50),
        IntParam("minNumOfConsistentCams", "Photos that must agree, this one counted.", 3, low=1, high=20),
        IntParam(
            "minNumOfConsistentCamsWithLowSimilarity", "The same, for pixels that match poorly.", 4, low=1, high=20
        ),
        FloatParam("pixToleranceFactor", "Greatest reprojection distance, in pixels.", 2.0, low=0.1, high=20),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": "", "depth": "<VIEW_ID>_depthMap.npz"}

    def process(self, chunk: NodeChunk) -> None:
        from concurrent.futures import ThreadPoolExecutor, as_completed
        from functools import lru_cache

        import cv2
        import numpy as np

        from meshroom_tasks.cpu_engine.depth_filter import consistent_depth
        from meshroom_tasks.cpu_engine.depth_maps import DepthMap, read_depth_map, write_depth_map
        from meshroom_tasks.cpu_engine.partners import stereo_partners
        from meshroom_tasks.cpu_engine.scene import read_scene

        values = chunk.attributes
        scene = read_scene(chunk.folder_of("input"))
        if not scene.cameras:
            raise NodeError("Found 0 image dimension(s): no photo was registered")
        folder = chunk.path("depthMapsFolder")
        partners = stereo_partners(scene, values["nNearestCams"], values["minViewAngle"], values["maxViewAngle"])
        mine = [view for view in chunk.views if view < len(scene.cameras)]
        cv2.setNumThreads(1)

        @lru_cache(64)
        def load(view: int) -> DepthMap | None:
            return read_depth_map(folder, scene.cameras[view])

        def work(view: int) -> str:
            photo, reference = scene.cameras[view].photo, load(view)
            if reference is None:
                return f"{photo}: no depth map"
            others = [other for other in map(load, partners[view]) if other is not None]
            low = reference.score < _LOW_SCORE
            needed = np.where(
                low, values["minNumOfConsistentCamsWithLowSimilarity"], values["minNumOfConsistentCams"]
            ).astype(np.int32)
            depth = consistent_depth(reference, others, needed, values["pixToleranceFactor"])
            write_depth_map(chunk.folder, DepthMap(reference.camera, depth, reference.score))
            return f"{photo}: {(depth > 0).sum() / max((reference.depth > 0).sum(), 1):.0%} of the depths confirmed"

        with ThreadPoolExecutor(chunk.threads) as pool:
            for done, future in enumerate(as_completed([pool.submit(work, view) for view in mine]), start=1):
                chunk.progress(done, len(mine), future.result())
