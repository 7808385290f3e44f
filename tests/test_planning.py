"""From a planned graph to steps: which queue takes which stage, and into how many chunks it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.graph import Template, TemplateNode, parse_planned
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.planning import block_sizes, stages_of_graph
from meshroom_tasks.settings import PROJECT
from meshroom_tasks.stage_policies import StagePolicies, StagePolicy

RECORDED = Path(__file__).parent / "data" / "recorded_run" / "photogrammetry-gpu-planned.mg"


@pytest.mark.parametrize(
    ("intensive_queue", "meshing"),
    [("", "cpu"), ("cpu-large", "cpu-large")],
)
def test_stages_that_need_much_memory_have_a_queue_of_their_own_where_there_is_one(
    intensive_queue: str, meshing: str
) -> None:
    graph = parse_planned(RECORDED.read_text())
    stages = stages_of_graph(graph, PipelineShelf.load([PROJECT / "pipelines"]).for_engine(""), intensive_queue)
    queues = {stage.node_type: stage.queue for stage in stages}
    assert (queues["Meshing"], queues["Texturing"]) == (meshing, meshing)
    assert (queues["DepthMap"], queues["MeshFiltering"]) == ("gpu", "cpu")


@pytest.mark.parametrize(
    ("setting", "capacity", "expected"),
    [
        ("", {"cpu": 9, "gpu": 9}, {"Small": 6}),
        ("10", {}, {"Plain": 10, "Small": 6, "DepthMap": 10}),
        ("3", {}, {"Plain": 3, "Small": 3, "DepthMap": 3}),
        # A chunk for each worker of the stage's own queue, but none of a few photos.
        ("auto", {"cpu": 2, "gpu": 1}, {"Plain": 12, "Small": 6}),
        ("auto", {"cpu": 1, "gpu": 4}, {"Small": 6, "DepthMap": 6}),
        ("auto", {"cpu": 99, "gpu": 5}, {"Plain": 4, "Small": 4, "DepthMap": 5}),
        ("auto", {}, {"Small": 6}),
    ],
)
def test_block_sizes(setting: str, capacity: dict[str, int], expected: dict[str, int]) -> None:
    names = ("Plain", "Small", "DepthMap", "Plain")
    template = Template(tuple(TemplateNode(f"{name}_{i}", name, {}) for i, name in enumerate(names)), "")
    policies = StagePolicies({"Small": StagePolicy(block_size=6), "DepthMap": StagePolicy(queue="gpu")})
    pipelines = Pipelines({}, policies, PipelineShelf.load([PROJECT / "pipelines"]).for_engine("").catalogue)
    assert block_sizes(template, pipelines, 23, setting, capacity) == expected
