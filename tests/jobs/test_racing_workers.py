"""Many workers, some of them killed at random, and messages that come twice or never: each chunk is finished once."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs.store import JobStore
from tests.servers.postgres import PostgresServer

from .conftest import GRAPH, migrated, new_job
from .racing import meddle, open_store, racing, wait_for_end, work_badly, work_until_killed

JOBS, WORKERS, KILLS, RESTARTS = 4, 3, 8, 3
MEETINGS = 800
STEPS = JOBS * (3 + sum(stage.chunk_count for stage in GRAPH))


def submitted(url: str) -> tuple[JobStore, list[str]]:
    store = open_store(url)
    ids = [store.submit(new_job()) for _ in range(JOBS)]
    store.database.engine.dispose()
    return store, ids


def assert_each_finished_once(store: JobStore, ids: list[str], ledger: Path, *, lost_lines: int) -> None:
    assert [store.job(job_id).status for job_id in ids] == ["completed"] * JOBS
    finished = Counter(ledger.read_text().split())
    assert max(finished.values()) == 1
    assert STEPS - lost_lines <= len(finished) <= STEPS
    assert [len(store.deliveries(job_id)) for job_id in ids] == [1] * JOBS
    store.database.engine.dispose()


def test_killed_workers_cost_nothing_but_time(url: str, tmp_path: Path) -> None:
    store, ids = submitted(url)
    dice = random.Random(4)
    with racing(url, tmp_path / "ledger") as racers:
        workers = [racers.start(work_until_killed) for _ in range(WORKERS)]
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.05, 0.3))
            victim = dice.randrange(WORKERS)
            racers.kill(workers[victim])
            workers[victim] = racers.start(work_until_killed)
        wait_for_end(store, ids, seconds=400)
    # A worker killed between its commit and its line in the ledger leaves one out; none may be there twice.
    assert_each_finished_once(store, ids, tmp_path / "ledger", lost_lines=KILLS)


def test_a_restarted_database_costs_nothing_but_time(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.new_database("migrated", migrated)
    store, ids = submitted(url)
    with racing(url, tmp_path / "ledger") as racers:
        workers = [racers.start(work_until_killed) for _ in range(WORKERS)]
        for _ in range(RESTARTS):
            time.sleep(0.4)
            postgres.restart(seconds_away=0.5)
        wait_for_end(store, ids, seconds=400)
        assert all(worker.is_alive() for worker in workers)
    assert_each_finished_once(store, ids, tmp_path / "ledger", lost_lines=RESTARTS * WORKERS)


def test_no_two_transactions_wait_for_each_other(postgres: PostgresServer, tmp_path: Path) -> None:
    """Whatever is done to the same few jobs at once, the server has no deadlock to resolve."""
    url = postgres.new_database("migrated", migrated)
    store, _ = submitted(url)
    name = store.database.engine.url.database
    deadline = time.monotonic() + 400
    with racing(url, tmp_path / "ledger") as racers:
        started = [racers.start(run) for run in (work_badly, work_badly, meddle, meddle, meddle)]
        while (seen := met(store, name)).xact_commit < MEETINGS and time.monotonic() < deadline:
            time.sleep(0.5)
        assert [process.exitcode for process in started] == [None] * len(started)
    assert seen.deadlocks == 0
    assert seen.xact_commit >= MEETINGS
    store.database.engine.dispose()


def met(store: JobStore, name: str | None) -> sa.Row[Any]:
    """How many transactions the database has committed, and how often two of them waited for each other."""
    query = sa.text("select deadlocks, xact_commit from pg_stat_database where datname = :name")
    with store.database.snapshot() as connection:
        return connection.execute(query, {"name": name}).one()
