"""A database that is away for a moment: what is asked of the store meanwhile is done when it is back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from meshroom_tasks.errors import DatabaseUnavailable
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.records import Work
from meshroom_tasks.jobs.store import JobStore
from tests.servers.postgres import PostgresServer

from .conftest import claim_kind, entry_for, migrated, new_job, run_to_plan


@pytest.fixture
def served(postgres: PostgresServer) -> Iterator[JobStore]:
    store = JobStore(Database(postgres.new_database("migrated", migrated)))
    yield store
    store.database.engine.dispose()


@contextmanager
def away_for(postgres: PostgresServer, seconds: float) -> Iterator[None]:
    """The server has just died, and starts again so many seconds later, while the block runs."""
    postgres.stop(immediately=True)
    back = threading.Timer(seconds, postgres.start)
    back.start()
    try:
        yield
    finally:
        back.join()


def chunk_of(store: JobStore) -> Work:
    run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    return work


def submit(store: JobStore, _work: Work) -> bool:
    return store.job(store.submit(new_job())).status == "queued"


def finish(store: JobStore, work: Work) -> bool:
    return store.finish_chunk(work, entry_for(work))


def look(store: JobStore, work: Work) -> bool:
    return store.job(work.job_id).status == "running"


@pytest.mark.parametrize(("act", "seconds"), [(submit, 0.5), (look, 0.5), (finish, 7.0)])
def test_it_is_done_when_the_server_is_back(
    served: JobStore, postgres: PostgresServer, act: Callable[[JobStore, Work], bool], seconds: float
) -> None:
    work = chunk_of(served)
    with away_for(postgres, seconds):
        assert act(served, work)


def test_a_heartbeat_says_at_once_that_it_failed_and_the_next_one_counts(
    served: JobStore, postgres: PostgresServer
) -> None:
    work = chunk_of(served)
    postgres.stop(immediately=True)
    try:
        with pytest.raises(DatabaseUnavailable):
            served.heartbeat(work, 0.1)
    finally:
        postgres.start()
    assert served.heartbeat(work, 0.2) is None


def test_a_job_whose_acknowledgement_was_lost_is_recorded_once(store: JobStore) -> None:
    for _ in range(2):
        store._record("8dbf4f7e-94a5-4d5c-9d5f-6a4a1b7e5c11", new_job())
    assert len(store.jobs().jobs) == 1
    assert len(store.take_hints()) == 1
