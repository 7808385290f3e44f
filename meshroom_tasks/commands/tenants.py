"""`tenants list`, `tenants set`: what each tenant has, and may have."""

from __future__ import annotations

import re
from typing import Any

import click
from rich.table import Table

from meshroom_tasks.commands.base import ServiceCommand, as_json, console, operator, print_json
from meshroom_tasks.jobs.tenants import TenantView

_DEFAULT = "default"


class Limit(click.ParamType[int | str]):
    """A whole number, 0 for no limit, or `default` for that of the settings."""

    name = "limit"

    def __init__(self, digits: int) -> None:
        self._form = re.compile(rf"[0-9]{{1,{digits}}}")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).lower()
        if text != _DEFAULT and not self._form.fullmatch(text):
            self.fail(f"{value!r} is no limit; write a whole number, 0 for none, or {_DEFAULT}", param, ctx)
        return text if text == _DEFAULT else int(text)


_COUNT, _BYTES = Limit(digits=9), Limit(digits=18)


@click.group("tenants")
def tenants_group() -> None:
    """Tenants: what each has and may have at a time. A tenant is made by a key for it."""


@tenants_group.command("list", cls=ServiceCommand)
@as_json
def list_tenants(as_json: bool) -> None:
    """List the tenants, each figure with its limit; a star marks a limit of the tenant's own."""
    _print(operator().store.tenants(), as_json)


@tenants_group.command("set", cls=ServiceCommand)
@click.argument("tenant")
@click.option("--weight", type=click.IntRange(1, 1000), help="Its share of the workers beside others, who have 1.")
@click.option("--max-running-jobs", type=_COUNT, help="Jobs that have begun and not ended.")
@click.option("--max-queued-jobs", type=_COUNT, help="Jobs that have not begun; beyond it: 429.")
@click.option("--max-images", type=_COUNT, help="Photos of one job; no more than MAX_IMAGES.")
@click.option("--max-job-bytes", type=_BYTES, help="Photos of one job together; no more than MAX_JOB_BYTES.")
@click.option("--max-storage-bytes", type=_BYTES, help="Photos and results of all its jobs.")
@as_json
def set_limits(tenant: str, as_json: bool, **given: int | str | None) -> None:
    """Change limits of a tenant: a number, 0 for none, or `default` for that of the settings."""
    changes = {
        name: value if not isinstance(value, str) else None for name, value in given.items() if value is not None
    }
    view = operator().store.change_tenant(tenant, changes)
    _print((view,), as_json)


def _print(found: tuple[TenantView, ...], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    table = Table("tenant", "weight", "running", "queued", "storage bytes", "photos", "job bytes", box=None)
    for view in found:
        table.add_row(
            view.name,
            f"{view.weight:g}",
            f"{view.running_jobs} of {_limit(view, 'max_running_jobs')}",
            f"{view.queued_jobs} of {_limit(view, 'max_queued_jobs')}",
            f"{view.storage_bytes} of {_limit(view, 'max_storage_bytes')}",
            _limit(view, "max_images"),
            _limit(view, "max_job_bytes"),
        )
    console().print(table)


def _limit(view: TenantView, name: str) -> str:
    value = getattr(view.limits, name)
    return f"{value or 'any'}{'*' if name in view.own else ''}"
