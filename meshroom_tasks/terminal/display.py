"""A job as it goes, in the terminal; where there is none, a line for each stage that has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from meshroom_tasks.client import Job, Stage
from meshroom_tasks.client.client import last
from meshroom_tasks.client.uploading import Sent

_ENDED = ("done", "failed", "cancelled")


def show(console: Console, jobs: Iterable[Job]) -> Job:
    """The last of these states of one job, all of which have been shown as they came."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        return last(map(_Bars(console, progress).shown, jobs))


class _Bars:
    """One for the job, and one for each of its stages that has begun."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._whole = progress.add_task("job", total=1.0, note="")
        self._of_stage: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def shown(self, job: Job) -> Job:
        self._progress.update(self._whole, completed=job.progress, note=note_of(job))
        for stage in job.stages:
            if stage.state != "blocked":
                self._show(stage, job.progress)
        return job

    def _show(self, stage: Stage, of_job: float) -> None:
        if stage.name not in self._of_stage:
            self._of_stage[stage.name] = self._progress.add_task(stage.node_type, total=1.0, note="")
        bar, note = self._of_stage[stage.name], note_of_stage(stage)
        self._progress.update(bar, completed=stage.progress, note=note)
        if stage.state in _ENDED and stage.name not in self._ended:
            self._ended.add(stage.name)
            self._progress.stop_task(bar)
            if not self._console.is_terminal:
                self._console.print(f"{of_job:>4.0%}  {stage.node_type:<22} {stage.state} {note}".rstrip())


def note_of(job: Job) -> str:
    if job.queued_behind:
        return f"behind {job.queued_behind} other job{'s' if job.queued_behind > 1 else ''}"
    if job.seconds_left is not None and not job.ended:
        return f"about {timedelta(seconds=round(job.seconds_left))} left"
    return "" if job.status == "running" else job.status


def note_of_stage(stage: Stage) -> str:
    waiting = next((chunk.waiting for chunk in stage.chunks if chunk.waiting), None)
    if waiting:
        return waiting
    workers = sorted({chunk.worker for chunk in stage.chunks if chunk.worker and chunk.state == "running"})
    if stage.cached:
        return "from the stage cache"
    tries = max((chunk.attempts for chunk in stage.chunks), default=0)
    return ", ".join([*workers, *([f"try {tries}"] if tries > 1 else [])])


@contextmanager
def transfer(console: Console, what: str, total: int) -> Iterator[Sent]:
    """A bar for bytes that go or come; call what it gives with how many more there are."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)
