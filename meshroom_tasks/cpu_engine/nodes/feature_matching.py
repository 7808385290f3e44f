"""FeatureMatching: which features of two photos show the same point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from meshroom_tasks.cpu_engine.attributes import BoolParam, File, FileList, FloatParam, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError
from meshroom_tasks.cpu_engine.nodes.feature_extraction import describer_types


class FeatureMatching(Node):
    """Write `<chunk>.matches.npz`: the pairs of the chunk whose matches agree with a two-view geometry.

    Nearest neighbours with Lowe's ratio test, then COLMAP's verification by essential matrix, fundamental matrix or
    homography, whichever explains the matches (J. Schoenberger, J.-M. Frahm, Structure-from-Motion Revisited, 2016).
    """

    node_type = "FeatureMatching"
    block_size = 20
    attributes = (
        File("input", "Views (cameraInit.sfm)."),
        FileList("featuresFolders", "Folders with the features."),
        File("imagePairsList", "Pairs to match (imageMatches.txt)."),
        describer_types("Kind of features to match."),
        FloatParam("distanceRatio", "Largest ratio of best to second best distance.", 0.8, low=0.1, high=1.0),
        BoolParam("crossMatching", "Whether a match must be the best in both directions.", True),
        FloatParam("geometricError", "Largest distance from the geometry in pixels; 0: 4 pixels.", 0.0, high=100.0),
        IntParam("maxIteration", "Most trials of the robust estimation.", 2048, low=100, high=1_000_000),
        BoolParam("guidedMatching", "Match once more along the geometry that was found.", False),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": ""}

    def process(self, chunk: NodeChunk) -> None:
        import tempfile
        from pathlib import Path

        import pycolmap

        from meshroom_tasks.cpu_engine import colmap
        from meshroom_tasks.cpu_engine.features import find_features, read_features
        from meshroom_tasks.cpu_engine.image_pairs import owned_pairs, read_pairs
        from meshroom_tasks.cpu_engine.matches import SUFFIX, write_matches
        from meshroom_tasks.cpu_engine.sfm_data import read_sfm

        views = read_sfm(chunk.path("input"))
        view_ids = [view.view_id for view in views]
        pairs = owned_pairs(read_pairs(chunk.path("imagePairsList"), view_ids), chunk.views)
        chunk.log(f"Number of pairs: {len(pairs)}")
        (describer,) = chunk.attributes["describerTypes"]
        try:
            features = {
                index: read_features(find_features(chunk.attributes["featuresFolders"], view_ids[index], describer))
                for index in sorted({index for pair in pairs for index in pair})
            }
        except FileNotFoundError as error:
            raise NodeError(str(error)) from error
        colmap.quieten()
        with tempfile.TemporaryDirectory(dir=chunk.folder) as folder:
            path, listed = Path(folder) / "colmap.db", Path(folder) / "pairs.txt"
            with colmap.database(path, views, features):
                pass
            listed.write_text("".join(f"{first} {second}\n" for first, second in pairs))
            pycolmap.match_image_pairs(
                path,
                matching_options=self._matching(chunk),
                pairing_options=pycolmap.ImportedPairingOptions(match_list_path=listed),
                verification_options=self._verification(chunk),
                device=pycolmap.Device.cpu,
            )
            base = pycolmap.Database.open(path)
            found = colmap.read_two_views(base)
            base.close()
        write_matches(chunk.folder / f"{chunk.index}{SUFFIX}", found, view_ids)
        count = sum(len(two.matches) for two in found)
        chunk.log(f"{len(found)} of {len(pairs)} pairs have a common geometry, with {count} matches")

    @staticmethod
    def _matching(chunk: NodeChunk) -> Any:
        import pycolmap

        options = pycolmap.FeatureMatchingOptions()
        options.num_threads = chunk.threads
        options.use_gpu = False
        options.guided_matching = chunk.attributes["guidedMatching"]
        options.sift.max_ratio = chunk.attributes["distanceRatio"]
        options.sift.cross_check = chunk.attributes["crossMatching"]
        return options

    @staticmethod
    def _verification(chunk: NodeChunk) -> Any:
        import pycolmap

        from meshroom_tasks.cpu_engine.colmap import SEED

        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.max_error = chunk.attributes["geometricError"] or 4.0
        options.ransac.max_num_trials = chunk.attributes["maxIteration"]
        options.ransac.random_seed = SEED
        return options
