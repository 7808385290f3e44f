"""`cache stats`, `cache evict`, `cache verify`: what the stage cache holds, and keeping it in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from meshroom_tasks.commands.base import Operator, ServiceCommand, as_json, operator, print_json, refusals
from meshroom_tasks.commands.durations import Duration, spoken
from meshroom_tasks.handoff import StageCache
from meshroom_tasks.handoff.eviction import CacheLimits, evict
from meshroom_tasks.handoff.verification import ORPHAN_SECONDS, Verification


class _Group(click.Group):
    command_class = ServiceCommand

    def invoke(self, ctx: click.Context) -> object:
        with refusals():
            return super().invoke(ctx)


@click.group("cache", cls=_Group)
def cache_group() -> None:
    """The stage cache: what it holds, what may go, whether it is sound."""


@cache_group.command("stats")
@as_json
def stats(as_json: bool) -> None:
    """Say how much there is, how much of it live jobs need, and the limits."""
    parts = operator()
    found, limits = parts.store.cache_stats(), _limits(parts)
    if as_json:
        print_json({**vars(found), "max_bytes": limits.bytes, "max_age_seconds": limits.age_seconds})
        return
    limit = f"limit {_size(limits.bytes)}" if limits.bytes else "no limit"
    click.echo(f"{found.entries} entries, {_size(found.bytes)}; {limit}")
    click.echo(f"{found.needed_entries} entries, {_size(found.needed_bytes)}, are needed by live jobs")
    if found.oldest_use is not None:
        click.echo(f"the least recent use was {spoken(datetime.now(UTC) - found.oldest_use)} ago")


@cache_group.command("evict")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Instead of CACHE_MAX_BYTES.")
@click.option(
    "--older-than", type=Duration(), help="Not used for so long: 12h, 7d, 2w. Instead of CACHE_MAX_AGE_SECONDS."
)
@click.option("--dry-run", is_flag=True, help="Only say how much.")
@as_json
def evict_entries(max_bytes: int | None, older_than: timedelta | None, dry_run: bool, as_json: bool) -> None:
    """Remove what is beyond the limits, the least recently used first; never what a live job needs.

    The sweeper does the same every ten minutes.
    """
    parts = operator()
    limits = _limits(parts)
    if max_bytes is not None or older_than is not None:
        limits = CacheLimits(max_bytes or 0, older_than.total_seconds() if older_than is not None else 0.0)
    evicted = evict(parts.store, StageCache(parts.storage), limits, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, **vars(evicted)})
        return
    click.echo(f"{evicted.entries} entries, {_size(evicted.bytes)} {'would go' if dry_run else 'gone'}")
    if evicted.still_over:
        click.echo(f"still {_size(evicted.still_over)} over the limit: live jobs need them")


@cache_group.command("verify")
@click.option("--deep", is_flag=True, help="Read every bundle and compare its digest.")
@click.option("--repair", is_flag=True, help="Put right what is wrong; without it only say what is.")
@click.option(
    "--orphans-older-than",
    type=Duration(),
    default=timedelta(seconds=ORPHAN_SECONDS),
    help="Bundles without a marker count after so long; default: 1d.",
)
@as_json
@click.pass_context
def verify(ctx: click.Context, deep: bool, repair: bool, orphans_older_than: timedelta, as_json: bool) -> None:
    """Compare the object store with what the job store knows of it. Ends with exit code 1 if something stays wrong.

    What is dropped is computed again when a job needs it.
    """
    parts = operator()
    verification = Verification(parts.store, parts.storage, orphan_seconds=orphans_older_than.total_seconds())
    findings = []
    for finding in verification.verify(deep=deep, repair=repair):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.kind}  {finding.key}  {_size(finding.size)}")
    if as_json:
        print_json({"repaired": repair, "findings": findings})
    else:
        click.echo(f"{len(findings)} findings{', put right' if repair and findings else ''}")
    if findings and not repair:
        ctx.exit(1)


def _limits(parts: Operator) -> CacheLimits:
    return CacheLimits.of(parts.settings)


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
