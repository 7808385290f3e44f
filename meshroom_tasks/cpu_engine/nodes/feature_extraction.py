"""FeatureExtraction: SIFT features of each photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from meshroom_tasks.cpu_engine.attributes import ChoiceList, ChoiceParam, File, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError

DESCRIBERS = ("sift", "dspsift")
MEMORY_BUDGET = 1.0e9
"""Bytes for all photos that are worked on at a time."""


class Preset(NamedTuple):
    features: int
    longest_side: int
    contrast: float


PRESETS = {
    "low": Preset(1500, 1000, 0.03),
    "medium": Preset(2500, 1280, 0.02),
    "normal": Preset(4096, 1600, 0.02),
    "high": Preset(8192, 2400, 0.01),
    "ultra": Preset(16384, 3200, 0.005),
}


def describer_types(doc: str) -> ChoiceList:
    """The attribute that says which features are used; the nodes that read them link to it."""
    return ChoiceList("describerTypes", doc, ("sift",), values=DESCRIBERS, at_most=1)


class FeatureExtraction(Node):
    """Write `<viewId>.<describer>.npz` for each view of the chunk. Transparent pixels give no features."""

    node_type = "FeatureExtraction"
    version = "1.1"
    block_size = 40
    attributes = (
        File("input", "Views (cameraInit.sfm)."),
        describer_types("Kind of features, one at a time; dspsift matches a little better and takes 5 times as long."),
        ChoiceParam(
            "describerPreset",
            "How many features a photo: 1500, 2500, 4096, 8192, 16384; "
            "photos are reduced to 1000, 1280, 1600, 2400, 3200 pixels.",
            "normal",
            values=tuple(PRESETS),
        ),
        IntParam(
            "maxNbFeatures", "Features a photo, instead of the preset's number; 0: as the preset says.", 0, high=50000
        ),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": ""}

    def process(self, chunk: NodeChunk) -> None:
        from concurrent.futures import ThreadPoolExecutor, as_completed

        import cv2

        from meshroom_tasks.cpu_engine import sift
        from meshroom_tasks.cpu_engine.features import features_path, write_features
        from meshroom_tasks.cpu_engine.masks import read_mask
        from meshroom_tasks.cpu_engine.pixels import read_grey
        from meshroom_tasks.cpu_engine.sfm_data import View, read_sfm

        (describer,) = chunk.attributes["describerTypes"]
        preset = PRESETS[chunk.attributes["describerPreset"]]
        extraction = sift.Extraction(*preset._replace(features=chunk.attributes["maxNbFeatures"] or preset.features))
        extract = {"sift": sift.extract_sift, "dspsift": sift.extract_dspsift}[describer]
        cv2.setNumThreads(1)
        views = [read_sfm(chunk.path("input"))[index] for index in chunk.views]

        def work(view: View) -> tuple[View, int]:
            found = sift.extract_unmasked(extract, read_grey(view.path), read_mask(view.path), extraction)
            write_features(features_path(chunk.folder, view.view_id, describer), found)
            return view, len(found)

        largest = max((extraction.memory(view.intrinsic.width, view.intrinsic.height) for view in views), default=1.0)
        workers = max(1, min(chunk.threads, int(MEMORY_BUDGET // largest)))
        with ThreadPoolExecutor(workers) as pool:
            for done, future in enumerate(as_completed([pool.submit(work, view) for view in views]), start=1):
                try:
                    view, count = future.result()
                except ValueError as error:
                    pool.shutdown(cancel_futures=True)
                    raise NodeError(str(error)) from error
                chunk.progress(done, len(views), f"{count} {describer} features extracted from view '{view.path.name}'")
