"""ImageMatching: which photos are compared with which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from meshroom_tasks.cpu_engine.attributes import ChoiceParam, File, FileList, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk

METHODS = ("Exhaustive", "Sequential", "VocabularyTree", "SequentialAndVocabularyTree")


class ImageMatching(Node):
    """Write `imageMatches.txt`: all pairs of a small set; else neighbours in order and photos that look alike.

    Likeness is that of global descriptors over a vocabulary built from the photos' own features (see `image_pairs`),
    so no vocabulary file is needed.
    """

    node_type = "ImageMatching"
    attributes = (
        File("input", "Views (cameraInit.sfm)."),
        FileList("featuresFolders", "Folders with the features."),
        ChoiceParam(
            "method",
            "How pairs are chosen: all, by the order of the photos, by likeness, or by both.",
            "SequentialAndVocabularyTree",
            values=METHODS,
            refused={"Frustum": "there are no known poses"},
        ),
        IntParam("minNbImages", "Below this number of photos all pairs are taken.", 60, high=100_000),
        IntParam("maxDescriptors", "Features a photo that its likeness is judged by.", 500, low=1, high=100_000),
        IntParam("nbMatches", "Photos that each is compared with for likeness.", 40, low=1, high=1000),
        IntParam("nbNeighbors", "Photos that each is compared with before and after it in order.", 5, low=1, high=1000),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": "imageMatches.txt"}

    def process(self, chunk: NodeChunk) -> None:
        from meshroom_tasks.cpu_engine import image_pairs
        from meshroom_tasks.cpu_engine.sfm_data import read_sfm

        view_ids = [view.view_id for view in read_sfm(chunk.path("input"))]
        method = chunk.attributes["method"]
        if len(view_ids) < chunk.attributes["minNbImages"]:
            method = "Exhaustive"
        chunk.log(f"Use {method.upper()} method.")
        pairs: set[image_pairs.Pair] = set()
        if method == "Exhaustive":
            pairs = image_pairs.all_pairs(len(view_ids))
        if method.startswith("Sequential"):
            pairs |= image_pairs.neighbour_pairs(len(view_ids), chunk.attributes["nbNeighbors"])
        if method.endswith("VocabularyTree"):
            pairs |= self._alike(chunk, view_ids)
        image_pairs.write_pairs(chunk.folder / "imageMatches.txt", pairs, view_ids)
        chunk.log(f"Number of selected image pairs: {len(pairs)}")

    @staticmethod
    def _alike(chunk: NodeChunk, view_ids: list[int]) -> set[tuple[int, int]]:
        from meshroom_tasks.cpu_engine.features import find_features, read_features
        from meshroom_tasks.cpu_engine.image_pairs import signatures, similar_pairs

        most = chunk.attributes["maxDescriptors"]
        paths = [find_features(chunk.attributes["featuresFolders"], view_id) for view_id in view_ids]
        descriptors = [read_features(path).descriptors[:most] for path in paths]
        return similar_pairs(signatures(descriptors), chunk.attributes["nbMatches"])
