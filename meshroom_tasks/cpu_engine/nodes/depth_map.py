"""DepthMap: how far each pixel of each photo is, by plane sweep, semi-global matching and refinement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from meshroom_tasks.cpu_engine.attributes import BoolParam, ChoiceParam, File, FloatParam, Group, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError

if TYPE_CHECKING:
    from meshroom_tasks.cpu_engine.plane_sweep import Picture

SMALL_IMAGE = 1024
"""Photos up to this many pixels wide or high are used at full size under `tiling.autoAdjustSmallImage`."""
_MEMORY = 600e6
"""Bytes that the cost volumes of all threads together may take."""
_COST_LEVELS = 255.0
"""AliceVision counts SGM penalties on a scale of costs from 0 to 255."""
_LEAST_SCORE = 0.3


class DepthMap(Node):
    """Depth maps by multi-view stereo on the CPU.

    Each photo is matched against partners that share many landmarks under a good angle. A coarse depth comes from a
    plane sweep and semi-global aggregation, the final one from a fine search about it at full size. Pixels whose match
    is poor get no depth, nor do transparent ones. Sources: see plane_sweep.py, semi_global.py, partners.py.
    """

    node_type = "DepthMap"
    version = "1.1"
    block_size = 12
    attributes = (
        File("input", "Scene from StructureFromMotion."),
        File("imagesFolder", "Undistorted images from PrepareDenseScene."),
        IntParam("downscale", "The photos are used at 1/downscale of their size.", 2, low=1, high=16),
        FloatParam("minViewAngle", "Least angle in degrees between the rays of two photos.", 2.0, low=0, high=180),
        FloatParam("maxViewAngle", "Greatest angle in degrees between the rays of two photos.", 70.0, low=10, high=180),
        Group(
            "tiling",
            "How large photos are cut; this engine does not cut them.",
            members=(BoolParam("autoAdjustSmallImage", "Use photos of up to 1024 pixels at full size.", True),),
        ),
        IntParam("maxTCams", "Greatest number of partners of a photo.", 10, low=1, high=20),
        Group(
            "sgm",
            "The coarse depth, by semi-global matching.",
            members=(
                IntParam("sgmScale", "Coarse size: 1/scale of the photo in use.", 2, low=1, high=8),
                IntParam("sgmMaxTCamsPerTile", "Greatest number of partners in use.", 4, low=1, high=20),
                IntParam("sgmWSH", "Half the matching window, in coarse pixels.", 2, low=1, high=8),
                FloatParam(
                    "sgmSeedsRangeInflate", "Share that the landmarks' depth range grows by.", 0.2, low=0, high=2
                ),
                FloatParam("sgmP1", "Penalty of one depth step between neighbours (0 to 255).", 10.0, low=0, high=255),
                FloatParam("sgmP2Weighting", "Penalty of a larger step (0 to 255).", 100.0, low=0, high=255),
                IntParam("sgmMaxDepths", "Greatest number of depth hypotheses.", 256, low=32, high=1500),
                ChoiceParam("sgmFilteringAxes", "Axes of aggregation.", "YX", values=("YX", "X", "Y")),
            ),
        ),
        Group(
            "refine",
            "The fine depth, at full size.",
            members=(
                BoolParam("refineEnabled", "Refine the coarse depth.", True),
                IntParam("refineMaxTCamsPerTile", "Greatest number of partners in use.", 4, low=1, high=20),
                IntParam("refineHalfNbDepths", "Hypotheses on each side of the coarse depth.", 5, low=1, high=50),
                IntParam("refineWSH", "Half the matching window, in pixels.", 2, low=1, high=8),
            ),
        ),
        IntParam("nbGPUs", "Accepted for Meshroom's sake; this engine uses none.", 0, invalidates=False),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": "", "depth": "<VIEW_ID>_depthMap.npz"}

    def process(self, chunk: NodeChunk) -> None:
        from concurrent.futures import ThreadPoolExecutor, as_completed

        import cv2

        from meshroom_tasks.cpu_engine.depth_maps import DepthMap as Map
        from meshroom_tasks.cpu_engine.depth_maps import write_depth_map
        from meshroom_tasks.cpu_engine.masks import read_mask, resized
        from meshroom_tasks.cpu_engine.partners import depth_range, stereo_partners
        from meshroom_tasks.cpu_engine.scene import read_scene

        values = chunk.attributes
        scene = read_scene(chunk.folder_of("input"))
        if not scene.cameras:
            raise NodeError("Found 0 image dimension(s): no photo was registered")
        # The registered photos are dealt out in order, so that the chunks share them whatever SfM left out.
        mine = [view for view in chunk.views if view < len(scene.cameras)]
        partners = stereo_partners(scene, values["maxTCams"], values["minViewAngle"], values["maxViewAngle"])
        picture = self._pictures(chunk, scene.cameras)
        sgm, refine = _options(values)
        cv2.setNumThreads(1)

        def work(view: int) -> str:
            camera = scene.cameras[view]
            bounds = depth_range(scene, view, values["sgm"]["sgmSeedsRangeInflate"])
            if bounds is None or not partners[view]:
                return f"{camera.photo}: no other photo shares enough landmarks; no depth"
            from meshroom_tasks.cpu_engine.depth_estimation import estimate_depth

            reference = picture(view)
            depth, score = estimate_depth(reference, [picture(p) for p in partners[view]], *bounds, sgm, refine)
            depth[score < _LEAST_SCORE] = 0
            mask = read_mask(chunk.path("imagesFolder") / f"{camera.view_id}.png")
            if mask is not None:
                depth[~resized(mask, reference.camera.width, reference.camera.height)] = 0
            write_depth_map(chunk.folder, Map(reference.camera, depth, score))
            return f"{camera.photo}: depth for {(depth > 0).mean():.0%} of the pixels, {len(partners[view])} partners"

        at_once = self._at_once(chunk, scene.cameras, sgm.scale, sgm.max_depths)
        with ThreadPoolExecutor(at_once) as pool:
            for done, future in enumerate(as_completed([pool.submit(work, view) for view in mine]), start=1):
                chunk.progress(done, len(mine), future.result())

    @staticmethod
    def _pictures(chunk: NodeChunk, cameras: tuple[Any, ...]) -> Callable[[int], Picture]:
        """Grey images by camera index, at the size in use; each is read once while it is among the last 64."""
        import cv2
        import numpy as np

        from meshroom_tasks.cpu_engine.plane_sweep import Picture

        folder, values = chunk.path("imagesFolder"), chunk.attributes

        @lru_cache(64)
        def load(view: int) -> Picture:
            camera = cameras[view]
            image = cv2.imread(str(folder / f"{camera.view_id}.png"), cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise NodeError(f"Undistorted image of {camera.photo} is missing: {camera.view_id}.png")
            divisor = working_divisor(camera.width, camera.height, values)
            if divisor > 1:
                camera = camera.scaled(max(camera.width // divisor, 1), max(camera.height // divisor, 1))
                image = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
            return Picture(image.astype(np.float32), camera)

        return load

    @staticmethod
    def _at_once(chunk: NodeChunk, cameras: tuple[Any, ...], scale: int, depths: int) -> int:
        """Photos to work on at a time: one a thread, fewer where their cost volumes would not fit into memory."""
        largest = max(c.width * c.height // working_divisor(c.width, c.height, chunk.attributes) ** 2 for c in cameras)
        volume = largest // scale**2 * depths * 4
        return max(1, min(chunk.threads, int(_MEMORY // max(volume, 1))))


def working_divisor(width: int, height: int, values: Any) -> int:
    """What a photo's size is divided by: `downscale`, but 1 for a small one under `tiling.autoAdjustSmallImage`."""
    small = values["tiling"]["autoAdjustSmallImage"] and max(width, height) <= SMALL_IMAGE
    return 1 if small else int(values["downscale"])


def _options(values: Any) -> tuple[Any, Any]:
    from meshroom_tasks.cpu_engine.depth_estimation import RefineOptions, SgmOptions

    sgm, refine = values["sgm"], values["refine"]
    coarse = SgmOptions(
        scale=sgm["sgmScale"],
        radius=sgm["sgmWSH"],
        max_depths=sgm["sgmMaxDepths"],
        p1=sgm["sgmP1"] / _COST_LEVELS,
        p2=sgm["sgmP2Weighting"] / _COST_LEVELS,
        axes=sgm["sgmFilteringAxes"],
        max_partners=sgm["sgmMaxTCamsPerTile"],
    )
    if not refine["refineEnabled"]:
        return coarse, None
    return coarse, RefineOptions(
        half_depths=refine["refineHalfNbDepths"],
        radius=refine["refineWSH"],
        max_partners=refine["refineMaxTCamsPerTile"],
    )
