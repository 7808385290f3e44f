"""`requeue`, `cancel`, `purge-jobs`: what an operator does to jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from meshroom_tasks.commands.base import Operator, Refused, ServiceCommand, as_json, operator, print_json
from meshroom_tasks.commands.durations import Duration
from meshroom_tasks.errors import Conflict, NotFound, RequestRefused
from meshroom_tasks.jobs.records import JobView
from meshroom_tasks.jobs.states import ENDED
from meshroom_tasks.removal import remove_job


@click.command(cls=ServiceCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--from-stage", metavar="STAGE", help="Compute this stage and all that follow from it anew.")
@click.option("--all-failed", is_flag=True, help="Every failed job, instead of those named.")
@as_json
def requeue(job_ids: Sequence[str], from_stage: str | None, all_failed: bool, as_json: bool) -> None:
    """Run ended jobs again.

    Every finished chunk is kept, or, with --from-stage (a node, a node type, or ingest, plan, results), every one
    before that stage.
    """
    if bool(job_ids) == all_failed:
        raise click.UsageError("name the jobs, or say --all-failed")
    parts = operator()
    chosen = [view.id for view in parts.jobs("failed")] if all_failed else job_ids
    _change(parts, chosen, lambda job_id: parts.store.requeue(job_id, from_stage), as_json)


@click.command(cls=ServiceCommand)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@as_json
def cancel(job_ids: Sequence[str], as_json: bool) -> None:
    """Cancel jobs: nothing of them starts any more, and what runs is stopped."""
    parts = operator()
    _change(parts, job_ids, parts.store.cancel, as_json)


@click.command("purge-jobs", cls=ServiceCommand)
@click.option(
    "--status", "statuses", type=click.Choice(sorted(ENDED)), multiple=True, help="Of this status; may repeat."
)
@click.option("--older-than", type=Duration(), help="Ended so long ago: 90s, 30m, 12h, 7d, 2w.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@as_json
def purge_jobs(statuses: Sequence[str], older_than: timedelta | None, dry_run: bool, as_json: bool) -> None:
    """Forget ended jobs, with their results and logs.

    Photos, and what the stage cache holds of them, go with the last job that has them.
    """
    if not statuses and older_than is None:
        raise click.UsageError("say which jobs, by --status, by --older-than, or by both")
    parts = operator()
    before = datetime.now(UTC) - (older_than or timedelta())
    chosen = [view for view in parts.jobs() if _ended_before(view, before) and view.status in (statuses or ENDED)]
    if not dry_run:
        for view in chosen:
            remove_job(parts.store, parts.storage, view.id)
    if as_json:
        print_json({"dry_run": dry_run, "jobs": [view.id for view in chosen]})
        return
    for view in chosen:
        click.echo(f"{view.id}  {view.status}")
    click.echo(f"{len(chosen)} {'would go' if dry_run else 'gone'}")


def _ended_before(view: JobView, moment: Any) -> bool:
    return view.finished_at is not None and view.finished_at <= moment


def _change(parts: Operator, job_ids: Iterable[str], change: Callable[[str], None], as_json: bool) -> None:
    """Change each job, whatever becomes of the others; refused at the end if any could not be."""
    done, refused = [], {}
    for job_id in job_ids:
        try:
            change(job_id)
        except (Conflict, NotFound, RequestRefused) as error:
            refused[job_id] = error.message
        else:
            done.append(job_id)
    parts.announce()
    statuses = {job_id: parts.store.job(job_id).status for job_id in done}
    if as_json:
        print_json({"changed": statuses, "refused": refused})
    else:
        for job_id, status in statuses.items():
            click.echo(f"{job_id}  {status}")
    if refused:
        raise Refused("\n".join(f"{job_id}: {message}" for job_id, message in refused.items()))
