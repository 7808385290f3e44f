"""From a planned graph to the steps of a job. Pure."""

from __future__ import annotations

from meshroom_tasks.graph import PlannedGraph
from meshroom_tasks.jobs.records import PlannedWork
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.stage_policies import StagePolicy


def stages_of_graph(graph: PlannedGraph, pipelines: Pipelines, intensive_queue: str = "") -> tuple[PlannedWork, ...]:
    """Each stage of the graph, in its order, with the policy of its node type.

    `intensive_queue`: where CPU stages that need much memory go; "": with all others.
    """
    return tuple(
        PlannedWork(
            name=stage.name,
            node_type=stage.node_type,
            uid=stage.uid,
            chunk_count=stage.chunk_count,
            chunked=stage.chunked,
            reads=stage.reads,
            reads_photos=policy.reads_photos,
            queue=_queue(policy, intensive_queue),
            weight=policy.weight,
            block_size=stage.block_size,
            size=stage.size,
        )
        for stage, policy in ((stage, pipelines.policy(stage.node_type)) for stage in graph.stages)
    )


def _queue(policy: StagePolicy, intensive_queue: str) -> str:
    """A GPU's stages stay on it: its worker runs one at a time."""
    return (
        intensive_queue if intensive_queue and (policy.queue, policy.memory) == ("cpu", "intensive") else policy.queue
    )
