"""Figures and states in words. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from meshroom_tasks.jobs.records import ChunkView, JobView, StageView

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_FIXED = {"ingest": "Fetch the photos", "plan": "Plan", "results": "Results"}


def seconds(value: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def roughly(value: float) -> str:
    """An estimate, which seconds would make look exact."""
    if value < 60:
        return "less than a minute"
    return seconds(round(value / 60) * 60)


def size(value: float | None) -> str:
    """`812 bytes`, `4.8 MB`, `31 GB`."""
    if value is None:
        return ""
    unit = 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit and value < 10 else f"{value:.0f} {_UNITS[unit]}"


def number(value: float | None) -> str:
    """`12,345`; `–` where it is not known."""
    return "–" if value is None else f"{value:,.0f}"


def moment(value: datetime | None) -> str:
    """For those without scripts, and for machines; scripts show the reader's own time."""
    return value.strftime("%Y-%m-%d %H:%M:%S UTC") if value is not None else ""


def many(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def job_title(job: JobView) -> str:
    """What the client calls it in its metadata, else the begin of its id."""
    for key in ("name", "title"):
        value = job.metadata.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()[:120]
    return f"Job {job.id[:8]}"


def stage_title(name: str) -> str:
    """Of a stage: `DepthMap` for `DepthMap_1`."""
    return _FIXED.get(name) or name.removesuffix("_1").replace("_", " ")


def now_doing(job: JobView) -> str:
    """The stages at work, in words."""
    running = [stage for stage in job.stages if any(chunk.state == "running" for chunk in stage.chunks)]
    return ", ".join(_at_work(stage) for stage in running)


def why_waiting(job: JobView, unserved: Collection[str]) -> tuple[str, ...]:
    """Who waits for what, and why; empty for a job that waits for nothing. `unserved`: queues without a worker."""
    if job.status not in ("queued", "running"):
        return ()
    found: list[str] = []
    if any(chunk.state == "running" for chunk in _chunks(job)):
        ready = [reason for reason in dict.fromkeys(chunk.waiting for chunk in _chunks(job)) if reason]
        return tuple(reason[0].upper() + reason[1:] for reason in ready[:2])
    if job.queued_behind:
        found.append(f"Waits for its turn: {many(job.queued_behind, 'job')} before it")
    for stage in job.stages:
        for chunk in stage.chunks:
            if chunk.state == "ready" and chunk.waiting:
                found.append(f"{stage_title(stage.name)}: {chunk.waiting}")
    if unserved and not found:
        found.append(f"No worker takes the queue {' or '.join(unserved)}: see Workers")
    return tuple(dict.fromkeys(found))[:3] or (("Waits for a worker to take it",) if job.status == "queued" else ())


def cause_lines(tail: Collection[str]) -> tuple[tuple[str, bool], ...]:
    """The lines of a log, each with whether it speaks of a failure."""
    words = ("error", "fatal", "exception", "failed", "cannot", "can't", "killed", "out of memory", "traceback")
    return tuple((line, any(word in line.lower() for word in words)) for line in tail)


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large} {unit} {small} {small_unit}" if small else f"{large} {unit}"


def _at_work(stage: StageView) -> str:
    title = stage_title(stage.name)
    if len(stage.chunks) < 2:
        return title
    done = sum(chunk.state == "done" for chunk in stage.chunks)
    return f"{title} ({done} of {len(stage.chunks)} chunks done)"


def _chunks(job: JobView) -> Iterator[ChunkView]:
    for stage in job.stages:
        yield from stage.chunks
