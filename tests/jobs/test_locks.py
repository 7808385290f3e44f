"""The order of locks on PostgreSQL: the job's row, then its steps and deliveries; a claim waits for nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from meshroom_tasks.errors import PhotosWithoutOverlap
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.database import Database, Limits
from meshroom_tasks.jobs.store import JobStore
from tests.servers.postgres import PostgresServer
from tests.waiting import eventually

from .conftest import Clock, claim_kind, migrated, new_job, run_to_plan

AT_ONCE = 0.3
"""Seconds after which waiting for a lock is an error."""


@pytest.fixture
def locked(postgres: PostgresServer, clock: Clock) -> Iterator[JobStore]:
    database = Database(postgres.new_database("migrated", migrated), Limits(lock_seconds=AT_ONCE))
    yield JobStore(database, clock=clock)
    database.engine.dispose()


def test_a_claim_does_not_wait_for_the_job(locked: JobStore) -> None:
    job_id = locked.submit(new_job())
    (hint,) = locked.take_hints()
    with locked.database.transaction() as connection:
        locked._lock_job(connection, job_id)
        assert locked.claim(hint.subject, "w") is not None


def test_a_claim_passes_over_a_step_that_another_is_taking(locked: JobStore, clock: Clock) -> None:
    for _ in range(2):
        locked.submit(new_job())
        clock.advance(1)
    first, second = locked.take_hints()
    with locked.database.transaction() as connection:
        connection.execute(sa.select(tables.step).where(tables.step.c.id == first.subject).with_for_update())
        work = locked.claim(first.subject, "w")
        assert work is not None
        assert work.step_id == second.subject
        assert locked.claim(first.subject, "w") is None


def test_a_heartbeat_and_the_sweeper_do_not_wait_for_the_job(locked: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(locked)
    work = claim_kind(locked, "chunk")
    waiting = locked.submit(new_job())
    assert work is not None
    clock.advance(20)
    with locked.database.transaction() as connection:
        for locked_id in (job_id, waiting):
            locked._lock_job(connection, locked_id)
        assert locked.heartbeat(work, 0.5) is None
        assert locked.renew_hints() == 1
        assert locked.take_hints() != ()


def test_whoever_waits_for_the_job_holds_none_of_its_rows(locked: JobStore) -> None:
    """Else the one that it waits for could wait for it."""
    job_id = run_to_plan(locked)
    work = claim_kind(locked, "chunk")
    assert work is not None
    locked.fail(work, PhotosWithoutOverlap("no"))
    (delivery,) = locked.deliveries(job_id)
    patient = JobStore(Database(locked.database.engine.url.render_as_string(hide_password=False)))
    for act in (
        lambda: patient.redeliver(job_id, delivery.id),
        lambda: patient.requeue(job_id),
        lambda: patient.cancel(job_id),
        lambda: patient.fail(work, PhotosWithoutOverlap("again")),
        lambda: patient.give_up_job(job_id),
    ):
        assert_waits_empty_handed(locked, job_id, act)
    patient.database.engine.dispose()


def assert_waits_empty_handed(store: JobStore, job_id: str, act: Callable[[], object]) -> None:
    with store.database.transaction() as connection:
        store._lock_job(connection, job_id)
        waiting = threading.Thread(target=act)
        waiting.start()
        eventually(lambda: waits_for_a_lock(store))
        for table in (tables.step, tables.delivery):
            connection.execute(sa.select(table).where(table.c.job_id == job_id).with_for_update(nowait=True))
    waiting.join()


def waits_for_a_lock(store: JobStore) -> bool:
    query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with store.database.snapshot() as connection:
        return bool(connection.execute(sa.text(query)).scalar_one())
