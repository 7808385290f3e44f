"""`celery -A meshroom_tasks workers` and `celery -A meshroom_tasks drain WORKER`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table

from meshroom_tasks.commands.base import ServiceCommand, as_json, console, operator, print_json
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.workers import WorkerView

_GIGABYTE = 1e9


@click.command("workers", cls=ServiceCommand)
@as_json
def workers(as_json: bool) -> None:
    """Show the workers heard of in the last hour, and what they run."""
    found = operator().store.workers()
    if as_json:
        print_json(found)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("WORKER", "STATE", "QUEUES", "PROCESSES", "ENGINE", "GPU", "SEEN", "RUNS"):
        table.add_column(column, overflow="fold")
    for view in found:
        table.add_row(*_row(view))
    console().print(table if found else "No worker is there.")


@click.command("drain", cls=ServiceCommand)
@click.argument("worker")
@click.option("--undo", is_flag=True, help="Have it take tasks again.")
def drain(worker: str, undo: bool) -> None:
    """Have WORKER take nothing new; what it runs is finished.

    It stays there, idle, until this is undone or it is started anew: then it can be stopped without loss of work.
    WORKER is a name from the list of workers; the part before `@` is enough where only one begins so.
    """
    store = operator().store
    view = store.ask_to_drain(_full_name(store, worker), drain=not undo)
    if undo:
        click.echo(f"{view.name} takes tasks again within seconds.")
    else:
        running = f"; {len(view.running)} of its steps still run" if view.running else ""
        click.echo(f"{view.name} takes nothing new within seconds{running}.")


def _full_name(store: JobStore, name: str) -> str:
    found = [view.name for view in store.workers() if view.name.partition("@")[0] == name]
    return found[0] if len(found) == 1 else name


def _row(view: WorkerView) -> tuple[str, ...]:
    seen = (datetime.now(UTC) - view.last_seen).total_seconds()
    gpu = f"{view.gpu_name}, {(view.gpu_memory_bytes or 0) / _GIGABYTE:.0f} GB" if view.gpu_uuid else "-"
    runs = "\n".join(f"{step.stage} {step.chunk} of job {step.job_id[:8]} {step.progress:.0%}" for step in view.running)
    return (
        view.name,
        view.state,
        ",".join(view.queues),
        str(view.processes),
        view.engine or "-",
        gpu,
        f"{seen:.0f} s ago",
        view.refusal or runs or "-",
    )
