"""From a planned graph to the steps of a job. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from meshroom_tasks.graph import PlannedGraph, Template
from meshroom_tasks.jobs.records import PlannedWork
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.stage_policies import StagePolicy

_LEAST_BLOCK = 4
"""Views: starting the engine for fewer costs as much as they do."""


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


def block_sizes(
    template: Template, pipelines: Pipelines, photos: int, setting: str, capacity: Mapping[str, int]
) -> dict[str, int]:
    """How many views a chunk holds at most, by node type; where it is not named, the engine decides.

    `setting`: CHUNK_BLOCK_SIZE, which is a number, "auto", or "". "auto" gives each worker of a queue one chunk, if
    that is worth starting it. `capacity`: how many steps the workers of each queue take at a time.
    """
    sizes = {}
    for node_type in dict.fromkeys(node.node_type for node in template.nodes):
        policy = pipelines.policy(node_type)
        wanted = policy.block_size, _by_setting(setting, photos, capacity.get(policy.queue, 0))
        if limits := [size for size in wanted if size > 0]:
            sizes[node_type] = min(limits)
    return sizes


def _by_setting(setting: str, photos: int, workers: int) -> int:
    if setting != "auto":
        return int(setting or 0)
    return max(_LEAST_BLOCK, math.ceil(photos / workers)) if workers > 1 else 0


def _queue(policy: StagePolicy, intensive_queue: str) -> str:
    """A GPU's stages stay on it: its worker runs one at a time."""
    return (
        intensive_queue if intensive_queue and (policy.queue, policy.memory) == ("cpu", "intensive") else policy.queue
    )
