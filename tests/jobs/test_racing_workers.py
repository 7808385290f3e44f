"""Many workers, some of them killed at random, and messages that come twice or never: each chunk is finished once."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Timing
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.store import JobStore

from .conftest import GRAPH, PHOTOS, RESULTS, entry_for, new_job

JOBS, WORKERS, KILLS, LEASE = 4, 3, 8, 1.0


def open_store(url: str) -> JobStore:
    return JobStore(Database(url), timing=Timing(timedelta(seconds=LEASE), timedelta(seconds=0.2)))


def work_until_killed(url: str, ledger: Path, seed: int) -> None:
    store, dice = open_store(url), random.Random(seed)
    while True:
        with store.database.snapshot() as connection:
            ready = connection.scalars(sa.select(tables.step.c.id).where(tables.step.c.state == "ready")).all()
        if not ready:
            time.sleep(0.02)
            continue
        work = store.claim(dice.choice(ready), f"worker-{seed}")
        if work is None:
            continue
        time.sleep(dice.uniform(0, 0.05))
        if work.kind == "ingest":
            finished = store.finish_ingest(work, PHOTOS, f"{work.job_id:0<64.64}".replace("-", "0"), ())
        elif work.kind == "plan":
            finished = store.finish_plan(work, "engine-1", GRAPH)
        elif work.kind == "chunk":
            finished = store.finish_chunk(work, entry_for(work))
        else:
            finished = store.finish_results(work, RESULTS, {})
        if finished:
            with ledger.open("a") as file:
                file.write(f"{work.step_id}\n")


def test_killed_workers_cost_nothing_but_time(tmp_path: Path) -> None:
    url, ledger = f"sqlite:///{tmp_path / 'jobs.sqlite'}", tmp_path / "ledger"
    Database(url).upgrade()
    store, dice = open_store(url), random.Random(4)
    ids = [store.submit(new_job()) for _ in range(JOBS)]
    context = multiprocessing.get_context("fork")
    store.database.engine.dispose()
    seeds = iter(range(1000))

    def start() -> multiprocessing.process.BaseProcess:
        process = context.Process(target=work_until_killed, args=(url, ledger, next(seeds)), daemon=True)
        process.start()
        return process

    workers = [start() for _ in range(WORKERS)]
    kills, deadline = 0, time.monotonic() + 90
    try:
        while time.monotonic() < deadline:
            time.sleep(dice.uniform(0.05, 0.3))
            store.reclaim_expired()
            if kills < KILLS:
                kills += 1
                victim = dice.randrange(WORKERS)
                workers[victim].kill()
                workers[victim].join()
                assert workers[victim].exitcode == -signal.SIGKILL
                workers[victim] = start()
            elif all(store.job(job_id).status == "completed" for job_id in ids):
                break
    finally:
        for worker in workers:
            worker.kill()
    assert [store.job(job_id).status for job_id in ids] == ["completed"] * JOBS
    finished = Counter(ledger.read_text().split())
    assert max(finished.values()) == 1
    steps_of_a_job = 3 + sum(stage.chunk_count for stage in GRAPH)
    # A worker killed between its commit and its line in the ledger leaves one out; none may be there twice.
    assert JOBS * steps_of_a_job - KILLS <= len(finished) <= JOBS * steps_of_a_job
    assert [len(store.deliveries(job_id)) for job_id in ids] == [1] * JOBS
