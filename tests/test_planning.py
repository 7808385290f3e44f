"""From a planned graph to steps: which queue takes which stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.graph import parse_planned
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.planning import stages_of_graph
from meshroom_tasks.settings import PROJECT

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
