"""Processes that race for the work of one job store, some of them killed, and a sweeper beside them."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from meshroom_tasks.errors import Conflict, DatabaseUnavailable, EngineCrashed, RequestRefused, ServiceError
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Timing
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.records import Work
from meshroom_tasks.jobs.store import JobStore

from .conftest import GRAPH, PHOTOS, RESULTS, entry_for, new_job

LEASE = 3.0

Process = multiprocessing.process.BaseProcess


def open_store(url: str) -> JobStore:
    return JobStore(Database(url), timing=Timing(timedelta(seconds=LEASE), timedelta(seconds=0.2)))


def finish(store: JobStore, work: Work) -> bool:
    if work.kind == "ingest":
        return store.finish_ingest(work, PHOTOS, f"{work.job_id:0<64.64}".replace("-", "0"), ())
    if work.kind == "plan":
        return store.finish_plan(work, "engine-1", GRAPH)
    if work.kind == "chunk":
        return store.finish_chunk(work, entry_for(work))
    return store.finish_results(work, RESULTS, {})


def work_until_killed(url: str, ledger: Path, seed: int) -> None:
    """Take what is ready; write the id of every step that this process finished into the ledger."""
    store, dice = open_store(url), random.Random(seed)
    while True:
        try:
            work = claim_any(store, dice, f"worker-{seed}")
            if work is None:
                time.sleep(0.02)
                continue
            time.sleep(dice.uniform(0, 0.05))
            if finish(store, work):
                with ledger.open("a") as file:
                    file.write(f"{work.step_id}\n")
        except DatabaseUnavailable:
            time.sleep(0.1)


def work_badly(url: str, _ledger: Path, seed: int) -> None:
    """As a worker whose steps fail now and then, and who says that it lives at every turn."""
    store, dice = open_store(url), random.Random(seed)
    while True:
        work = claim_any(store, dice, f"bad-{seed}")
        if work is None:
            time.sleep(0.01)
        elif store.heartbeat(work, 0.5) is not None or dice.random() < 0.1:
            store.fail(work, EngineCrashed("it fell over"))
        else:
            finish(store, work)


def meddle(url: str, _ledger: Path, seed: int) -> None:
    """As clients who cancel, requeue and ask again, and a second sweeper."""
    store, dice = open_store(url), random.Random(seed)
    acts: tuple[Callable[[str], object], ...] = (
        store.cancel,
        lambda _: store.cancel(store.submit(new_job())),
        store.requeue,
        lambda job_id: store.requeue(job_id, "Left"),
        lambda job_id: store.redeliver(job_id, dice.choice(store.deliveries(job_id)).id),
        lambda _: store.reclaim_expired(),
        lambda _: store.renew_hints(),
        lambda _: store.drop_hints([hint.id for hint in store.take_hints()]),
    )
    while True:
        jobs = [job.id for job in store.jobs().jobs]
        with contextlib.suppress(Conflict, RequestRefused, IndexError):  # Not in the state for it; nothing there yet.
            dice.choice(acts)(dice.choice(jobs))
        time.sleep(dice.uniform(0, 0.002))


def claim_any(store: JobStore, dice: random.Random, worker: str) -> Work | None:
    with store.database.snapshot() as connection:
        ready = connection.scalars(sa.select(tables.step.c.id).where(tables.step.c.state == "ready")).all()
    return store.claim(dice.choice(ready), worker) if ready else None


class Racers:
    """Processes that run one of the functions above each."""

    def __init__(self, url: str, ledger: Path) -> None:
        self._url, self._ledger = url, ledger
        self._context = multiprocessing.get_context("fork")
        self._started: list[Process] = []

    def start(self, run: Callable[[str, Path, int], None]) -> Process:
        process = self._context.Process(target=run, args=(self._url, self._ledger, len(self._started)), daemon=True)
        process.start()
        self._started.append(process)
        return process

    def kill(self, process: Process) -> None:
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it had ended by itself"


@contextmanager
def racing(url: str, ledger: Path) -> Iterator[Racers]:
    """No engine of this process may be connected at the time."""
    ledger.touch()
    racers = Racers(url, ledger)
    try:
        yield racers
    finally:
        for process in racers._started:
            process.kill()
            process.join()


def wait_for_end(store: JobStore, ids: list[str], *, seconds: float) -> None:
    """Sweep until every job is completed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ServiceError):
            store.reclaim_expired()
            if all(store.job(job_id).status == "completed" for job_id in ids):
                return
        time.sleep(0.1)
