"""What a chunk fetches is what it reads: each computed on a machine of its own gives what one machine gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demo.scene import model, photograph, shots, write_photo
from meshroom_tasks.engine import Engine
from meshroom_tasks.graph import parse_planned
from meshroom_tasks.ingest import photo_key
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.planning import stages_of_graph
from meshroom_tasks.settings import PROJECT, python_path
from tests import scripted_engine
from tests.deployment import write_photos
from tests.handoff.chunk_by_chunk import Bench, Computed

TEMPLATE = PROJECT / "pipelines" / "default.mg"
RECORDED = Path(__file__).parents[1] / "data" / "recorded_run"
READ_PHOTOS = {"FeatureExtraction", "StructureFromMotion", "PrepareDenseScene"}
"""By the system calls of a real run; CameraInit is planned with them, too."""


@pytest.mark.parametrize("name", ["gpu", "draft"])
def test_the_photos_go_to_those_nodes_that_open_them(name: str) -> None:
    graph = parse_planned((RECORDED / f"photogrammetry-{name}-planned.mg").read_text())
    stages = stages_of_graph(graph, PipelineShelf.load([PROJECT / "pipelines"]).for_engine(""))
    assert {stage.node_type for stage in stages if stage.reads_photos} == READ_PHOTOS | {"CameraInit"}


def run_both(engine: Engine, photos: Path, folder: Path) -> list[dict[tuple[str, int], Computed]]:
    """The same job on one machine, and then with an empty workspace, at the same place, for every chunk."""
    found = []
    for fresh in (False, True):
        bench = Bench(engine, photos, folder / "workspace", folder / f"objects-{fresh}", fresh=fresh)
        found.append(bench.run(TEMPLATE))
        names = {photo_key(bench.digest, photo.name) for photo in bench.photos}
        for computed in found[-1].values():
            own = {item.bundle_key for item in computed.reads} | {"jobs/j/graph.mg"}
            if computed.stage.node_type in READ_PHOTOS | {"CameraInit"}:
                own |= names
            assert computed.fetched == (own if fresh else {"jobs/j/graph.mg"}), computed.stage.name
    one, many = found
    assert list(one) == list(many)
    return found


def test_with_the_test_engine(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_photos(tmp_path / "photos", 5)
    script = {"block_sizes": dict.fromkeys(("FeatureExtraction", "FeatureMatching", "PrepareDenseScene"), 2)}
    script["block_sizes"] |= {"DepthMap": 1, "DepthMapFilter": 3}
    engine = Engine(*scripted_engine.commands(), environment=scripted_engine.environment(script))
    one, many = run_both(engine, tmp_path / "photos", tmp_path)
    assert len(one) == 6 + 3 * 3 + 5 + 2
    for key, computed in one.items():
        assert many[key].files == computed.files, key


@pytest.mark.slow
def test_with_the_cpu_engine(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    scene, rng = model(), np.random.default_rng(1)
    for index, shot in enumerate(shots()[:6]):
        half = Image.fromarray(photograph(scene, shot, rng)).reduce(2)
        write_photo(tmp_path / "photos" / f"{index}.jpg", np.asarray(half))
    commands = [(sys.executable, "-m", f"meshroom_tasks.cpu_engine.meshroom_{name}") for name in ("batch", "compute")]
    engine = Engine(*commands, environment={"PYTHONPATH": python_path()}, threads=1)
    one, many = run_both(engine, tmp_path / "photos", tmp_path)
    assert len(one) == len({key[0] for key in one}) == 11
    for key, computed in one.items():
        assert untimed(many[key].files) == untimed(computed.files), key


def untimed(files: dict[str, bytes]) -> dict[str, Any]:
    """The figures of StructureFromMotion without how long it took."""
    if "stats.json" not in files:
        return files
    figures = json.loads(files["stats.json"])
    figures.get("sfm", {}).pop("time", None)
    return {**files, "stats.json": figures}
