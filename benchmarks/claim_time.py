"""How long a claim takes when 100 steps are ready, and when 10,000 are.

    python -m benchmarks.claim_time [--server postgresql://...] [--tenants 50]

SQLite in a folder of its own; with a server, PostgreSQL too, in two databases of its own that are dropped at the end.
Half of the steps have addresses, the priorities are mixed, and the jobs are spread over the tenants. A new job takes
the place of each that was finished, so that the number of ready steps stays the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.records import Entry
from meshroom_tasks.jobs.store import JobStore

SIZES, CLAIMS = (100, 10_000), 200
NAME = "job-{:06d}"


def fill(store: JobStore, tenants: int, start: int, stop: int) -> None:
    """Jobs that are planned, with one chunk each that is ready."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    made = [(NAME.format(number), number % 10, begun + timedelta(seconds=number)) for number in range(start, stop)]
    jobs = [
        {
            "id": name,
            "tenant": tenant_of(name, tenants),
            "status": "running",
            "created_at": moment,
            "updated_at": moment,
            "request_id": "",
            "pipeline": "default",
            "priority": priority,
            "image_urls": [],
            "settings": {},
            "outputs": [],
            "metadata": {},
            "engine": "engine",
            "photos_digest": "d" * 64,
        }
        for name, priority, moment in made
    ]
    stage = {"name": "A_1", "position": 0, "node_type": "A", "chunk_count": 1, "chunked": False, "reads": []}
    stages = [{**stage, "job_id": name, "uid": name, "reads_photos": True} for name, _, _ in made]
    steps = [
        {
            "id": f"step-{name}",
            "job_id": name,
            "tenant": tenant_of(name, tenants),
            "kind": "chunk",
            "stage": "A_1",
            "queue": "cpu",
            "rank": 9 - priority,
            "queued_at": moment,
            "position": 2,
            "state": "ready",
            "address": f"cache/{name}" if priority % 2 else None,
            "next_hint_at": moment,
        }
        for name, priority, moment in made
    ]
    with store.database.transaction() as connection:
        for table, rows in ((tables.job, jobs), (tables.stage, stages), (tables.step, steps)):
            connection.execute(sa.insert(table), rows)


def tenant_of(name: str, tenants: int) -> str:
    return f"tenant-{int(name.removeprefix('job-')) // 10 % tenants}"


def claim_and_finish(store: JobStore, number: int) -> tuple[float, float]:
    """Seconds of each; a new job takes the place of the finished one."""
    begun = time.perf_counter()
    work = store.claim(f"step-{NAME.format(0)}", "benchmark")
    claimed = time.perf_counter()
    if work is None:
        raise SystemExit("there was nothing to claim")
    store.finish_chunk(work, Entry(f"cache/engine/{'d' * 64}/A/{number}/0/l", "bundle", f"{number:064d}", 1, None))
    return claimed - begun, time.perf_counter() - claimed


def run(urls: Mapping[int, str], tenants: int, table: Table) -> None:
    """Both sizes in turn, so that a machine whose speed drifts does not decide."""
    stores = {size: JobStore(Database(url)) for size, url in urls.items()}
    for size, store in stores.items():
        store.database.upgrade()
        for number in range(tenants):
            store.add_tenant(f"tenant-{number}")
        fill(store, tenants, 0, size)
        with store.database.transaction() as connection:
            connection.execute(sa.text("analyze"))
    seconds: dict[int, list[tuple[float, float]]] = {size: [] for size in stores}
    for number in range(CLAIMS):
        for size, store in stores.items():
            seconds[size].append(claim_and_finish(store, number))
            fill(store, tenants, size + number, size + number + 1)
    medians = {}
    for size, store in stores.items():
        claims, finishes = zip(*seconds[size], strict=True)
        medians[size] = (statistics.median(claims), statistics.median(finishes))
        cells = (medians[size][0], statistics.quantiles(claims, n=20)[-1], medians[size][1])
        milliseconds = (f"{1000 * value:.2f}" for value in cells)
        table.add_row(store.database.engine.dialect.name, f"{size:,}", *milliseconds)
        store.database.engine.dispose()
    ratios = [f"{large / small:.2f}" for small, large in zip(*medians.values(), strict=True)]
    table.add_row("", "ratio", ratios[0], "", ratios[1], end_section=True)


@contextmanager
def databases_on(server: str) -> Iterator[Mapping[int, str]]:
    """A fresh database for each size, dropped at the end."""
    url = sa.make_url(server)
    names = {size: f"claim_time_{size}" for size in SIZES}
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True) as on:
        for name in names.values():
            on.execute(f"create database {name}".encode())
        try:
            yield {size: url.set(database=name).render_as_string(hide_password=False) for size, name in names.items()}
        finally:
            for name in names.values():
                on.execute(f"drop database {name} with (force)".encode())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Claim time with few and with many ready steps.")
    parser.add_argument("--server", metavar="URL", help="a PostgreSQL to measure too")
    parser.add_argument("--tenants", type=int, default=1, help="so many have jobs waiting")
    options = parser.parse_args(arguments)
    table = Table("database", "ready", "claim median ms", "claim p95 ms", "finish median ms")
    with tempfile.TemporaryDirectory(prefix="claim-time-") as folder:
        run({size: f"sqlite:///{Path(folder) / f'{size}.sqlite'}" for size in SIZES}, options.tenants, table)
    if options.server:
        with databases_on(options.server) as urls:
            run(urls, options.tenants, table)
    Console().print(table)


if __name__ == "__main__":
    main()
