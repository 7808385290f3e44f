"""`deliveries list`, `deliveries failing`, `deliveries redeliver`: callbacks, and who does not receive them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import get_args

import click
from rich.markup import escape
from rich.table import Table

from meshroom_tasks.commands.base import Refused, ServiceCommand, as_json, console, operator, print_json
from meshroom_tasks.commands.durations import spoken
from meshroom_tasks.egress import redact
from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs.records import AttemptView, DeliveryStatus, DeliveryView

_STATUSES = get_args(DeliveryStatus)


@click.group("deliveries")
def deliveries_group() -> None:
    """Callbacks: what was posted to clients, which of their servers do not receive, and posting again."""


@deliveries_group.command("list", cls=ServiceCommand)
@click.option("--status", "statuses", type=click.Choice(_STATUSES), multiple=True, help="Of this one; may repeat.")
@click.option("--job", "job_id", metavar="ID", help="Only those of this job.")
@click.option("--tenant", help="Only those of this tenant.")
@click.option("--endpoint", metavar="URL", help="Only those to this URL, whatever its query.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@as_json
def list_deliveries(
    statuses: Sequence[DeliveryStatus],
    job_id: str | None,
    tenant: str | None,
    endpoint: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, newest first. With --json, each with all its attempts."""
    place = redact(endpoint) if endpoint is not None else None
    found = operator().store.find_deliveries(
        statuses=statuses, endpoint=place, tenant=tenant, job_id=job_id, limit=limit
    )
    if as_json:
        print_json(found)
        return
    table = Table(
        "delivery", "job", "event", "status", "age", "tries", "last answer", "endpoint", box=None, pad_edge=False
    )
    for view in found:
        age, last = spoken(datetime.now(UTC) - view.created_at), view.attempts[-1] if view.attempts else None
        cells = (view.id, view.job_id, view.event, view.status, age, str(len(view.attempts) or ""), _answer(last))
        table.add_row(*cells, escape(redact(view.url)))
    console().print(table)


@deliveries_group.command("failing", cls=ServiceCommand)
@click.option("--tenant", help="Only those of this tenant.")
@as_json
def failing(tenant: str | None, as_json: bool) -> None:
    """List the endpoints whose last attempt was not received."""
    found = operator().store.failing_endpoints(tenant=tenant)
    if as_json:
        print_json(found)
        return
    table = Table("endpoint", "tenant", "since", "last answer", "pending", "failed", "disabled", box=None)
    now = datetime.now(UTC)
    for view in found:
        answer = escape(view.error or str(view.status_code))
        counts = (str(view.pending), str(view.failed), str(view.disabled))
        table.add_row(escape(view.endpoint), view.tenant, spoken(now - view.since), answer, *counts)
    console().print(table if found else "Every endpoint has received what was last sent to it.")


@deliveries_group.command("redeliver", cls=ServiceCommand)
@click.argument("delivery_ids", metavar="[ID]...", nargs=-1)
@click.option("--all-failed", is_flag=True, help="All that were given up or answered with 410, instead of those named.")
@click.option("--endpoint", metavar="URL", help="Of all that failed: those to this URL, whatever its query.")
@click.option("--tenant", help="Of all that failed: those of this tenant.")
@as_json
def redeliver(
    delivery_ids: Sequence[str], all_failed: bool, endpoint: str | None, tenant: str | None, as_json: bool
) -> None:
    """Post deliveries again, from the start of the schedule: the same id, a new timestamp."""
    if bool(delivery_ids) == all_failed:
        raise click.UsageError("name the deliveries, or say --all-failed")
    if not all_failed and (endpoint or tenant):
        raise click.UsageError("--endpoint and --tenant choose among --all-failed")
    parts = operator()
    if all_failed:
        place = redact(endpoint) if endpoint is not None else None
        failed: tuple[DeliveryStatus, ...] = ("failed", "disabled")
        views = parts.store.find_deliveries(statuses=failed, endpoint=place, tenant=tenant, limit=None)
        delivery_ids = [view.id for view in views]
    done: list[DeliveryView] = []
    unknown = {}
    for delivery_id in delivery_ids:
        try:
            done.append(parts.store.redeliver(parts.store.job_of_delivery(delivery_id), delivery_id))
        except NotFound as error:
            unknown[delivery_id] = error.message
    parts.announce()
    if as_json:
        print_json({"redelivered": [view.id for view in done], "refused": unknown})
    else:
        for view in done:
            click.echo(f"{view.id}  {view.event} of job {view.job_id}")
    if unknown:
        raise Refused("\n".join(f"{delivery_id}: {message}" for delivery_id, message in unknown.items()))


def _answer(attempt: AttemptView | None) -> str:
    if attempt is None:
        return ""
    return escape(str(attempt.status_code) if attempt.status_code is not None else attempt.error or "")
