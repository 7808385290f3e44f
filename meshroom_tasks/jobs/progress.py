"""How far a job is. Pure.

It never goes back while an attempt lasts: each step counts by the furthest that any try of it came, the steps before
and after the graph have fixed parts, and what was found in the stage cache leaves the sum instead of filling it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshroom_tasks.jobs.records import StepKind, StepState

PARTS: dict[StepKind, float] = {"ingest": 0.03, "plan": 0.01, "chunk": 0.93, "results": 0.03}


@dataclass(frozen=True)
class Task:
    """A step as progress and forecast see it.

    `weight`: the seconds that it was foretold to take. `progress`: of the try that runs, `reached`: the furthest of all
    tries. `seconds`: since it was claimed, or from there to its end.
    """

    kind: StepKind
    queue: str
    state: StepState
    weight: float = 1.0
    progress: float = 0.0
    reached: float = 0.0
    cached: bool = False
    stage: str = ""
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        return self.state == "done"


def job_progress(tasks: Sequence[Task], floor: float = 0.0) -> float:
    """0 to 1. `floor`: how far the job was when its graph was planned anew; from there on the new one counts."""
    found = sum(part * _of_kind([task for task in tasks if task.kind == kind]) for kind, part in PARTS.items())
    return min(1.0, floor + (1 - floor) * found)


def _of_kind(tasks: Sequence[Task]) -> float:
    if tasks and all(task.done for task in tasks):
        return 1.0
    total = sum(task.weight * (task.reached if _was_found(task) else 1.0) for task in tasks)
    return _sum(task.weight * task.reached for task in tasks) / total if total > 0 else 0.0


def _was_found(task: Task) -> bool:
    return task.done and task.cached


def _sum(values: Iterable[float]) -> float:
    return sum(values, 0.0)
