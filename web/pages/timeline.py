"""When each chunk ran, and on which worker, as bars to scale. Pure.

The time line is cut where nothing ran for long (a job that was requeued the next day), and says how much was left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from meshroom_tasks.jobs.records import ChunkView, JobView, StageView
from web.pages.wording import seconds, stage_title

LANE_HEIGHT = 26
_LONG_GAP = 0.2
"""Of the time that something ran; a longer gap is cut."""
_CUT_WIDTH = 0.03
_LEAST_WIDTH = 0.25
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800)


@dataclass(frozen=True)
class Bar:
    """`x` and `width` in percent of the drawing; `tone` (0 to 5) tells stages apart, `label` says all."""

    x: float
    width: float
    lane: int
    tone: int
    state: str
    cached: bool
    attempts: int
    text: str
    label: str

    @property
    def y(self) -> int:
        return self.lane * LANE_HEIGHT


@dataclass(frozen=True)
class Worker:
    """One worker with as many lanes as it ran chunks at a time."""

    name: str
    first_lane: int
    lanes: int

    @property
    def y(self) -> int:
        return self.first_lane * LANE_HEIGHT


@dataclass(frozen=True)
class Mark:
    x: float
    text: str


@dataclass(frozen=True)
class Timeline:
    bars: tuple[Bar, ...]
    workers: tuple[Worker, ...]
    ticks: tuple[Mark, ...]
    cuts: tuple[Mark, ...]
    total_seconds: float

    @property
    def height(self) -> int:
        return sum(worker.lanes for worker in self.workers) * LANE_HEIGHT


@dataclass(frozen=True)
class _Run:
    stage: StageView
    tone: int
    chunk: ChunkView
    begin: float
    end: float


def timeline(job: JobView, now: datetime) -> Timeline | None:
    """None where nothing has run yet."""
    found = [
        (stage, tone, chunk, chunk.started_at, chunk.finished_at or now)
        for tone, stage in enumerate(job.stages)
        for chunk in stage.chunks
        if chunk.started_at is not None
    ]
    if not found:
        return None
    origin = min(begin for *_, begin, _ in found)
    runs = [
        _Run(
            stage, tone, chunk, (begin - origin) / timedelta(seconds=1), max(0.0, (end - origin) / timedelta(seconds=1))
        )
        for stage, tone, chunk, begin, end in found
    ]
    scale = _Scale(runs)
    bars: list[Bar] = []
    workers: list[Worker] = []
    lane = 0
    for name in sorted({run.chunk.worker or "" for run in runs}):
        own = sorted((run for run in runs if (run.chunk.worker or "") == name), key=lambda run: run.begin)
        lanes = _lanes(own)
        bars += [_bar(run, scale, lane + index) for run, index in zip(own, lanes, strict=True)]
        workers.append(Worker(name or "no worker any more", lane, max(lanes) + 1))
        lane += max(lanes) + 1
    return Timeline(tuple(bars), tuple(workers), scale.ticks(), scale.cuts(), max(run.end for run in runs))


class _Scale:
    """From seconds since the begin to percent."""

    def __init__(self, runs: Iterable[_Run]) -> None:
        busy: list[tuple[float, float]] = []
        for begin, end in sorted((run.begin, run.end) for run in runs):
            if busy and begin <= busy[-1][1]:
                busy[-1] = (busy[-1][0], max(end, busy[-1][1]))
            else:
                busy.append((begin, end))
        worked = sum(end - begin for begin, end in busy) or 1.0
        longest = max(_LONG_GAP * worked, 1.0)
        gaps = [(a[1], b[0]) for a, b in pairwise(busy)]
        self._cut = [gap for gap in gaps if gap[1] - gap[0] > longest]
        self._end = busy[-1][1]
        self._drawn = self._end - sum(end - begin for begin, end in self._cut) or 1.0
        self._per_second = 100.0 * (1 - _CUT_WIDTH * len(self._cut)) / self._drawn

    def x(self, at: float) -> float:
        left_out = sum(min(at, end) - begin for begin, end in self._cut if at > begin)
        passed = sum(
            100.0 * _CUT_WIDTH * min(1.0, (at - begin) / (end - begin)) for begin, end in self._cut if at > begin
        )
        return (at - left_out) * self._per_second + passed

    def ticks(self) -> tuple[Mark, ...]:
        step = next((step for step in _STEPS if self._drawn / step <= 8), _STEPS[-1])
        marks: list[Mark] = []
        at = 0.0
        while at <= self._end and len(marks) < 60:
            inside = any(begin < at < end for begin, end in self._cut)
            if not inside and self.x(at) <= 96:
                marks.append(Mark(round(self.x(at), 3), _clock(at)))
            at += step
            skipped = next((end for begin, end in self._cut if begin < at < end), None)
            if skipped is not None:
                at = (skipped // step + 1) * step
        return tuple(marks)

    def cuts(self) -> tuple[Mark, ...]:
        return tuple(Mark(round(self.x(begin) + 50 * _CUT_WIDTH, 3), seconds(end - begin)) for begin, end in self._cut)


def _bar(run: _Run, scale: _Scale, lane: int) -> Bar:
    x = scale.x(run.begin)
    width = max(_LEAST_WIDTH, scale.x(run.end) - x)
    title = stage_title(run.stage.name)
    several = len(run.stage.chunks) > 1
    facts = [
        title + (f", chunk {run.chunk.index + 1} of {len(run.stage.chunks)}" if several else ""),
        "taken from the cache" if run.chunk.cached else run.chunk.state,
        seconds(run.end - run.begin),
        f"on {run.chunk.worker}" if run.chunk.worker else "",
        f"attempt {run.chunk.attempts}" if run.chunk.attempts > 1 else "",
    ]
    text = f"{title} {run.chunk.index + 1}" if several else title
    return Bar(
        x=round(min(x, 100 - _LEAST_WIDTH), 3),
        width=round(width, 3),
        lane=lane,
        tone=run.tone % 6,
        state=run.chunk.state,
        cached=run.chunk.cached,
        attempts=run.chunk.attempts,
        text=text if width > 0.85 * len(text) else "",
        label=", ".join(filter(None, facts)),
    )


def _lanes(runs: Sequence[_Run]) -> list[int]:
    """For each run, in the order of their beginnings, the first lane that is free then."""
    free: list[float] = []
    found = []
    for run in runs:
        lane = next((index for index, until in enumerate(free) if until <= run.begin + 1e-3), len(free))
        if lane == len(free):
            free.append(0.0)
        free[lane] = max(run.end, run.begin + 1e-3)
        found.append(lane)
    return found


def _clock(at: float) -> str:
    whole = round(at)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
