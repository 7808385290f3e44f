"""How the engines are told to cut their stages smaller, and that every chunk is computed as it was planned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshroom_tasks.engine import block_sizes

MESHROOM = """
class Parallelization:
    def __init__(self, staticNbBlocks=0, blockSize=0):
        self.blockSize = blockSize
class BaseNode:
    parallelization = None
class Node(BaseNode):
    pass
"""
NODES = """
import importlib, json
from meshroom.core import desc
class DepthMap(desc.Node):
    parallelization = desc.Parallelization(blockSize=12)
class Meshing(desc.Node):
    pass
importlib.import_module("meshroom_tasks_block_sizes")
class FeatureExtraction(desc.Node):
    parallelization = desc.Parallelization(blockSize=40)
class FeatureMatching(desc.Node):
    parallelization = desc.Parallelization(blockSize=20)
class StaticBlocks(desc.Node):
    parallelization = desc.Parallelization(staticNbBlocks=3)
print(json.dumps([kind.parallelization.blockSize for kind in (DepthMap, FeatureExtraction, FeatureMatching)]))
"""


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"DepthMap": 5, "FeatureExtraction": 7, "Meshing": 3, "StaticBlocks": 1}, [5, 7, 20]),
        ({"DepthMap": 50, "FeatureMatching": 1}, [12, 40, 1]),
    ],
)
def test_meshrooms_descriptions_are_lowered_before_and_after_they_are_loaded(
    tmp_path: Path, wanted: dict[str, int], expected: list[int]
) -> None:
    """The package in the place where Meshroom imports it, with the part of Meshroom that it touches."""
    core = tmp_path / "meshroom" / "core"
    core.mkdir(parents=True)
    (core / "__init__.py").touch()
    (core / "desc.py").write_text(MESHROOM)
    added = block_sizes.environment(wanted, {})
    path = os.pathsep.join([str(tmp_path), added["MESHROOM_NODES_PATH"]])
    found = subprocess.run(
        [sys.executable, "-c", NODES], env={**added, "PYTHONPATH": path}, check=True, capture_output=True, text=True
    )
    assert json.loads(found.stdout) == expected


def test_the_operators_own_nodes_stay() -> None:
    added = block_sizes.environment({"DepthMap": 5, "A": 1}, {"MESHROOM_NODES_PATH": "/own"})
    assert added["ENGINE_BLOCK_SIZES"] == "A=1,DepthMap=5"
    assert added["MESHROOM_NODES_PATH"].startswith(f"/own{os.pathsep}")
    assert block_sizes.environment({}, {"MESHROOM_NODES_PATH": "/own"}) == {}


def test_a_graph_keeps_what_it_was_planned_with(tmp_path: Path) -> None:
    graph = tmp_path / "p.mg"
    graph.write_text(json.dumps({"header": {"releaseVersion": "2023.3.0"}, "graph": {}}))
    assert block_sizes.noted(graph) == {}
    block_sizes.note(graph, {})
    block_sizes.note(graph, {"DepthMap": 5})
    assert block_sizes.noted(graph) == {"DepthMap": 5}
    assert json.loads(graph.read_text())["header"]["releaseVersion"] == "2023.3.0"
