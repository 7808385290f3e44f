"""`jobs` and `job`: what there is, and how it is doing."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import get_args

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meshroom_tasks.commands.base import ServiceCommand, as_json, console, operator, print_json
from meshroom_tasks.commands.durations import spoken
from meshroom_tasks.jobs.records import JobStatus, JobView, StageView

STATUSES = get_args(JobStatus)


@click.command(cls=ServiceCommand)
@click.option("--status", type=click.Choice(STATUSES), help="Only those of this status.")
@click.option("--tenant", help="Only those of this tenant.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@as_json
def jobs(status: JobStatus | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    found = list(islice(operator().jobs(status, tenant), limit))
    if as_json:
        print_json(found)
        return
    table = Table(
        "job", "tenant", "status", "done", "stage", "photos", "priority", "age", "error", box=None, pad_edge=False
    )
    for view in found:
        running = ", ".join(stage.name for stage in view.stages if stage.state == "running")
        error = view.error.code if view.error else ""
        age = spoken(datetime.now(UTC) - view.created_at)
        cells = (view.id, view.tenant, view.status, f"{view.progress:.0%}", running, str(view.image_count))
        table.add_row(*cells, str(view.priority), age, error)
    console().print(table)


@click.command(cls=ServiceCommand)
@click.argument("job_id", metavar="ID")
@as_json
def job(job_id: str, as_json: bool) -> None:
    """Show one job: its stages, warnings, results, error."""
    view = operator().store.job(job_id)
    if as_json:
        print_json(view)
    else:
        _show(console(), view)


def _show(out: Console, view: JobView) -> None:
    left = f", about {view.seconds_left:.0f} s left" if view.seconds_left is not None else ""
    out.print(f"[bold]{view.id}[/]  {view.status}, {view.progress:.0%}{left}")
    out.print(
        f"tenant {view.tenant}, {view.image_count} photos, pipeline {escape(view.pipeline)}, priority {view.priority}, "
        f"run {view.attempts}"
    )
    if view.expires_at is not None:
        out.print(f"expires {view.expires_at:%Y-%m-%d %H:%M} UTC")
    table = Table("stage", "state", "done", "chunks", "tries", "time", "worker", box=None, pad_edge=False)
    for stage in view.stages:
        table.add_row(*_stage_row(stage))
    out.print(table)
    for stage in view.stages:
        for chunk in stage.chunks:
            if chunk.waiting:
                out.print(f"{stage.name}, chunk {chunk.index}: {chunk.waiting}", markup=False)
    for warning in view.warnings:
        out.print(f"warning: {warning.get('message', warning)}", markup=False)
    for result in view.results:
        out.print(f"{result.key}  {result.size} bytes", markup=False)
    if view.error is not None:
        where = f" in {view.error.stage}" if view.error.stage else ""
        out.print(f"error{where}: {view.error.code}: {view.error.message}", markup=False, style="red")
        for line in view.error.log_tail:
            out.print(f"  {line}", markup=False)


def _stage_row(stage: StageView) -> tuple[str, ...]:
    done = sum(chunk.state == "done" for chunk in stage.chunks)
    tries = max((chunk.attempts for chunk in stage.chunks), default=0)
    begun = [chunk.started_at for chunk in stage.chunks if chunk.started_at]
    ended = [chunk.finished_at for chunk in stage.chunks if chunk.finished_at]
    workers = sorted({chunk.worker for chunk in stage.chunks if chunk.worker})
    return (
        stage.name,
        f"{stage.state}{' (cached)' if stage.cached else ''}",
        f"{stage.progress:.0%}",
        f"{done}/{len(stage.chunks)}",
        str(tries or ""),
        _time(begun, ended if done == len(stage.chunks) else [datetime.now(UTC)]),
        ", ".join(workers),
    )


def _time(begun: list[datetime], ended: list[datetime]) -> str:
    return spoken(max(ended) - min(begun)) if begun and ended else ""
