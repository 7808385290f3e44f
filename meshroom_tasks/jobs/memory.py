"""What to do about a step that ran out of memory. Pure.

A process that was killed may have been too large, or somebody may have killed it: it is tried once more as it is,
elsewhere. Only a second kill, or evidence, is taken for a lack of memory.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from meshroom_tasks.errors import EngineKilled, GpuMemory, MemoryExhausted
from meshroom_tasks.jobs.records import Relief

Remedy = Literal["as the policy says", "larger worker", "lower settings"]

MOST_ADJUSTMENTS = 3
"""Of one job: a model that was made coarser again and again is of no use to anybody."""


def remedy(
    code: str, *, previous: str | None, queue: str, larger_is_live: bool, relief: Relief, adjusted: Collection[str]
) -> Remedy:
    """The remedy for a failure with `code`.

    `previous`: the code of the step's failure before this one. `larger_is_live`: some worker takes `larger_queue`.
    `adjusted`: the node types whose settings were lowered before, each once.
    """
    if code == EngineKilled.code and previous != EngineKilled.code:
        return "as the policy says"
    if code not in (EngineKilled.code, MemoryExhausted.code, GpuMemory.code):
        return "as the policy says"
    if code != GpuMemory.code and relief.larger_queue not in (None, queue) and larger_is_live:
        return "larger worker"
    proposed = relief.adjustment
    if proposed is None or proposed.node_type in adjusted or len(adjusted) >= MOST_ADJUSTMENTS:
        return "as the policy says"
    return "lower settings"
