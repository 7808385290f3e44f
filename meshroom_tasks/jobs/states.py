"""What may become of a step and of a job. Pure: no I/O, tested as tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from meshroom_tasks.errors import Conflict
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
    """A requeue takes it back to before it began."""


_STEP: Mapping[tuple[StepState, StepEvent], StepState] = {
    ("blocked", StepEvent.OPEN): "ready",
    ("blocked", StepEvent.CANCEL): "cancelled",
    ("ready", StepEvent.CLAIM): "running",
    ("ready", StepEvent.CANCEL): "cancelled",
    ("running", StepEvent.FINISH): "done",
    ("running", StepEvent.RETRY): "ready",
    ("running", StepEvent.FAIL): "failed",
    ("running", StepEvent.CANCEL): "cancelled",
    ("blocked", StepEvent.RESET): "blocked",
    ("done", StepEvent.RESET): "blocked",
    ("failed", StepEvent.RESET): "blocked",
    ("cancelled", StepEvent.RESET): "blocked",
}

ENDED: frozenset[JobStatus] = frozenset({"completed", "failed", "cancelled"})


def after(state: StepState, event: StepEvent) -> StepState:
    """The step's state after `event`; Conflict when that cannot happen in `state`."""
    try:
        return _STEP[state, event]
    except KeyError:
        raise Conflict(f"a step that is {state} cannot {event}", state=state, step_event=str(event)) from None


def sources(event: StepEvent) -> tuple[StepState, ...]:
    """The states in which `event` can happen: the guard of the UPDATE that carries it out."""
    return tuple(state for state, known in _STEP if known is event)


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
