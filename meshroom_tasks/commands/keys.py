"""`keys create`, `keys list`, `keys revoke`: who may use the API, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.table import Table

from meshroom_tasks.api_keys import DEFAULT_TENANT, SCOPES, TENANT_NAME, Scope
from meshroom_tasks.commands.base import Refused, ServiceCommand, as_json, console, operator, print_json
from meshroom_tasks.commands.durations import Duration, spoken
from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs.keys import ApiKey

_LONGEST_LABEL = 200


class TenantName(click.ParamType[str]):
    """A parameter that names a tenant, there or not."""

    name = "tenant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not TENANT_NAME.fullmatch(str(value)):
            self.fail(
                f"{value!r} is no name of a tenant: up to 64 small letters, digits, '.', '_' and '-', the first a "
                "letter or digit",
                param,
                ctx,
            )
        return str(value)


@click.group("keys")
def keys_group() -> None:
    """API keys: make one for a tenant, see when each was used, take one back."""


@keys_group.command("create", cls=ServiceCommand)
@click.option("--tenant", type=TenantName(), default=DEFAULT_TENANT, show_default=True, help="Whose; new or known.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("submit", "read"),
    show_default=True,
    help="What it allows; may repeat.",
)
@click.option(
    "--expires-in", "lifetime", type=Duration(), help="When it ends: 12h, 90d, 52w. Without this it does not."
)
@click.option("--label", default="", help="A note to know it by.")
@as_json
def create(tenant: str, scopes: Sequence[Scope], lifetime: timedelta | None, label: str, as_json: bool) -> None:
    """Make a key. It is shown now and never again: only a hash of it is kept."""
    made, kept = operator().store.create_key(tenant, scopes, label=label[:_LONGEST_LABEL], lifetime=lifetime)
    if as_json:
        print_json({"key": made.text, **_shown(kept)})
        return
    click.echo(made.text)
    ends = f", until {kept.expires_at:%Y-%m-%d %H:%M} UTC" if kept.expires_at else ""
    click.echo(f"key {kept.id} of {tenant}: {', '.join(kept.scopes)}{ends}; it is not shown again", err=True)


@keys_group.command("list", cls=ServiceCommand)
@click.option("--tenant", type=TenantName(), help="Only those of this tenant.")
@as_json
def list_keys(tenant: str | None, as_json: bool) -> None:
    """List the keys, without their secrets."""
    found = operator().store.api_keys(tenant)
    if as_json:
        print_json([_shown(key) for key in found])
        return
    now = datetime.now(UTC)
    table = Table("id", "tenant", "scopes", "state", "age", "used", "label", box=None, pad_edge=False)
    for key in found:
        used = f"{spoken(now - key.last_used_at)} ago" if key.last_used_at else "never"
        scopes = ", ".join(key.scopes)
        table.add_row(key.id, key.tenant, scopes, _state(key, now), spoken(now - key.created_at), used, key.label)
    console().print(table if found else "There is no key but X_API_KEY.")


@keys_group.command("revoke", cls=ServiceCommand)
@click.argument("key_ids", metavar="ID...", nargs=-1, required=True)
@as_json
def revoke(key_ids: Sequence[str], as_json: bool) -> None:
    """Take keys back, by their ids: within seconds they are wrong everywhere."""
    store, unknown, revoked = operator().store, [], []
    for key_id in key_ids:
        try:
            revoked.append(store.revoke_key(key_id))
        except NotFound as error:
            unknown.append(error.message)
    if as_json:
        print_json([_shown(key) for key in revoked])
    else:
        for key in revoked:
            click.echo(f"{key.id} of {key.tenant} revoked")
    if unknown:
        raise Refused("\n".join(unknown))


def _shown(key: ApiKey) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name != "hash"}


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    return f"valid for {spoken(key.expires_at - now)}" if key.is_valid(now) else "expired"
