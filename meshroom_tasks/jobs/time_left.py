"""How long a job may still take: its remaining graph, scheduled on the workers that there are. Pure.

Each step is taken to need what was foretold for it, times the pace of this job so far; steps go to workers as they do
in the service: in the order of the graph, as soon as what they read is done (list scheduling, R. L. Graham, Bounds on
Multiprocessing Timing Anomalies, 1969).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from meshroom_tasks.jobs.progress import Task

_TOO_EARLY = 0.05
"""Part of the work that must be done before the policies' weights alone say anything."""
_CONFIDENCE = 0.1
"""Experience counts as much against the pace of this job as that part of all its work would."""
_HANDOVER_SECONDS = 0.15
"""From the end of a step to the start of the next."""
_FOUND_SECONDS = 5.0
"""Who has been at a chunk for so long did not find it in the stage cache."""
_LEAST = 0.05
"""Part of its forecast that a step which says nothing of itself is taken to need yet, however long it has run."""


@dataclass(frozen=True)
class Slot:
    """Room for one step at a time, on a worker that consumes these queues."""

    queues: frozenset[str]


def seconds_left(
    tasks: Sequence[Task], reads: Mapping[str, Collection[str]], slots: Sequence[Slot], measured: float
) -> float | None:
    """None while it cannot be told: before there is a graph, before anything of it was computed (the stage cache may
    have all of it), or when no worker takes what is to be done.

    `tasks`: the job's, in the order in which they are taken. `reads`: the stages that each stage reads. `measured`:
    see Forecast.
    """
    chunks = [task for task in tasks if task.kind == "chunk"]
    pace = _pace(chunks, measured)
    if pace is None:
        return None
    rooms = [(slot.queues, 0.0) for slot in slots]
    ends: list[tuple[float, str]] = []
    for task in tasks:
        if task.state == "running":
            end = _remaining(task, pace)
            _occupy(rooms, task.queue, end)
            heappush(ends, (end, task.stage))
    waiting = [task for task in tasks if task.state in ("blocked", "ready")]
    open_of = {stage: sum(1 for task in chunks if task.stage == stage and not task.done) for stage in reads}
    now = 0.0
    while waiting or ends:
        for task in list(waiting):
            needed = reads.get(task.stage, ()) if task.kind == "chunk" else open_of
            if any(open_of.get(stage, 0) for stage in needed):
                continue
            room = _free_room(rooms, task.queue, now)
            if room is not None:
                end = now + _HANDOVER_SECONDS + _expected(task, pace)
                rooms[room] = (rooms[room][0], end)
                heappush(ends, (end, task.stage))
                waiting.remove(task)
        if not ends:
            return None
        now, stage = heappop(ends)
        if stage in open_of:
            open_of[stage] -= 1
    return now


def _pace(chunks: Sequence[Task], measured: float) -> float | None:
    """Seconds taken for each second foretold, of what this job has computed so far; None: too little."""
    computed = [task for task in chunks if not task.cached and (task.done or task.state == "running")]
    if not any(task.done or task.progress or task.seconds > _FOUND_SECONDS for task in computed):
        return None
    telling = [task for task in computed if task.done or task.progress]
    taken = sum(task.seconds for task in telling)
    foretold = sum(task.weight * (1.0 if task.done else task.progress) for task in telling)
    total = sum(task.weight for task in chunks if not task.cached)
    if foretold < _TOO_EARLY * total and measured < 1 - _TOO_EARLY:
        return None
    trust = _CONFIDENCE * total * measured
    return (taken + trust) / (foretold + trust) if foretold + trust > 0 else None


def _expected(task: Task, pace: float) -> float:
    return task.weight * pace


def _remaining(task: Task, pace: float) -> float:
    """Of a running step: by its forecast at first, the more by its own speed the further it is."""
    expected, done = _expected(task, pace), task.progress
    if done <= 0:
        return max(expected - task.seconds, _LEAST * expected)
    by_itself = task.seconds * (1 - done) / done
    return done * by_itself + (1 - done) * (1 - done) * expected


def _occupy(rooms: list[tuple[frozenset[str], float]], queue: str, end: float) -> None:
    """A running step is on a worker, also on one that has not been heard of for a moment."""
    room = _free_room(rooms, queue, 0.0)
    if room is None:
        rooms.append((frozenset((queue,)), end))
    else:
        rooms[room] = (rooms[room][0], end)


def _free_room(rooms: Sequence[tuple[frozenset[str], float]], queue: str, now: float) -> int | None:
    return next((index for index, (queues, end) in enumerate(rooms) if queue in queues and end <= now), None)
