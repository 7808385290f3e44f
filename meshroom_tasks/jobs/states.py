"""What may become of a step and of a job. Pure: no I/O, tested as tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from meshroom_tasks.jobs.records import JobStatus, StepState


class StepEvent(StrEnum):
    OPEN = "open"
    """All that the step waits for is done."""
    CLAIM = "claim"
    FINISH = "finish"
    RETRY = "retry"
    """It failed and may be tried again; or its holder vanished, or gave it back."""
    FAIL = "fail"
    CANCEL = "cancel"
    RESET = "reset"
    """A requeue, or the loss of what was stored, takes it back to before it began."""
    GIVE_UP = "give_up"
    """It ran on what is computed again meanwhile, and its holder has stopped."""


_MOVES: Mapping[StepEvent, tuple[tuple[StepState, ...], StepState]] = {
    StepEvent.OPEN: (("blocked",), "ready"),
    StepEvent.CLAIM: (("ready",), "running"),
    StepEvent.FINISH: (("running",), "done"),
    StepEvent.RETRY: (("running",), "ready"),
    StepEvent.FAIL: (("running",), "failed"),
    StepEvent.CANCEL: (("blocked", "ready", "running"), "cancelled"),
    StepEvent.RESET: (("blocked", "ready", "done", "failed", "cancelled"), "blocked"),
    StepEvent.GIVE_UP: (("running",), "blocked"),
}

ENDED: frozenset[JobStatus] = frozenset({"completed", "failed", "cancelled"})


def sources(event: StepEvent) -> tuple[StepState, ...]:
    """The states in which `event` can happen: the guard of the UPDATE that carries it out."""
    return _MOVES[event][0]


def target(event: StepEvent) -> StepState:
    """The state that `event` leads to."""
    return _MOVES[event][1]


def stages_to_open(
    reads: Mapping[str, Collection[str]], unfinished: Collection[str], blocked: Collection[str]
) -> tuple[str, ...]:
    """The blocked stages whose every upstream stage is finished, in the order of `reads` (that of the graph)."""
    return tuple(name for name, upstream in reads.items() if name in blocked and not set(upstream) & set(unfinished))


def downstream_of(first: str, reads: Mapping[str, Collection[str]]) -> frozenset[str]:
    """`first` and every stage that reads, directly or not, what it writes. `reads` is in the order of the graph."""
    touched = {first}
    for name, upstream in reads.items():
        if touched & set(upstream):
            touched.add(name)
    return frozenset(touched)
