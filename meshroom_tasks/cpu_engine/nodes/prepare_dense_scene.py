"""PrepareDenseScene: the photos without lens distortion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from meshroom_tasks.cpu_engine.attributes import ChoiceParam, File
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError


class PrepareDenseScene(Node):
    """Write `<viewId>.png` (or jpg) for each registered view of the chunk: an image of exactly the scene's camera."""

    node_type = "PrepareDenseScene"
    version = "1.1"
    block_size = 40
    attributes = (
        File("input", "Cameras (scene.json)."),
        ChoiceParam(
            "outputFileType",
            "Format of the undistorted photos.",
            "png",
            values=("png", "jpg"),
            refused={"exr": "the CPU engine works on photos of 8 bits", "tif": "the CPU engine writes png or jpg"},
        ),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": "", "undistorted": "<VIEW_ID>.{outputFileTypeValue}"}

    def process(self, chunk: NodeChunk) -> None:
        from concurrent.futures import ThreadPoolExecutor

        import cv2

        from meshroom_tasks.cpu_engine.scene import Camera, read_scene
        from meshroom_tasks.cpu_engine.sfm_data import read_sfm
        from meshroom_tasks.cpu_engine.undistortion import Maps, sampling_maps, undistort

        folder = chunk.folder_of("input")
        cameras = {camera.view_id: camera for camera in read_scene(folder).cameras}
        all_views = read_sfm(folder / "cameras.sfm")
        views = [all_views[index] for index in chunk.views if all_views[index].view_id in cameras]
        suffix = chunk.attributes["outputFileType"]
        cv2.setNumThreads(1)
        maps: dict[int, Maps] = {}
        for view in views:
            if view.intrinsic.intrinsic_id not in maps:
                camera: Camera = cameras[view.view_id]
                maps[view.intrinsic.intrinsic_id] = sampling_maps(camera, view.intrinsic)
        with ThreadPoolExecutor(chunk.threads) as pool:
            futures = [
                pool.submit(
                    undistort,
                    view.path,
                    maps[view.intrinsic.intrinsic_id],
                    chunk.folder / f"{view.view_id}.{suffix}",
                )
                for view in views
            ]
            for done, (view, future) in enumerate(zip(views, futures, strict=True), start=1):
                try:
                    future.result()
                except ValueError as error:
                    pool.shutdown(cancel_futures=True)
                    raise NodeError(str(error)) from error
                chunk.progress(done, len(views), f"{view.path.name} undistorted")
