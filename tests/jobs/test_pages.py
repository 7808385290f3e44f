"""A page of jobs costs as many statements as one job, and tells of each what asking for it alone does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from meshroom_tasks.jobs.store import JobStore

from .conftest import GRAPH, Clock, claim_kind, new_job, planned, run_chunks, run_to_plan
from .crowds import crowd


@contextmanager
def statements(store: JobStore) -> Iterator[list[str]]:
    """What is sent to the database in the block."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    sa.event.listen(store.database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(store.database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("status", ["queued", "running", "completed"])
def test_the_statements_of_a_page_do_not_depend_on_its_jobs(store: JobStore, clock: Clock, status: str) -> None:
    for _ in range(12):
        if status == "queued":
            store.submit(new_job())
        else:
            run_to_plan(store)
        clock.advance(1)
    if status == "completed":
        run_chunks(store)
    counts = []
    for limit in (2, 12):
        with statements(store) as sent:
            assert len(store.jobs(limit=limit).jobs) == limit
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 15


def test_a_page_tells_of_each_job_what_asking_for_it_tells(store: JobStore, clock: Clock) -> None:
    wide = (planned("Init"), planned("Left", "Init", chunks=3), planned("Right", "Init", queue="gpu"))
    for tenant in "abc":
        store.add_tenant(tenant)
    ids = []
    for number, tenant in enumerate("aababc" * 2):
        more = {"tenant": tenant, "priority": 5 + number % 2}
        graph = wide if number % 3 else GRAPH
        ids.append(run_to_plan(store, graph, **more) if number < 8 else store.submit(new_job(**more)))
        if number % 3:  # Some at the same moment.
            clock.advance(1)
    assert claim_kind(store, "chunk") is not None
    alone = {job_id: store.job(job_id) for job_id in ids}
    for tenant in (None, "a", "b", "c"):
        page = store.jobs(limit=50, tenant=tenant)
        assert [view for view in page.jobs if view != alone[view.id]] == []


def test_jobs_before_are_counted_once_each(store: JobStore, clock: Clock) -> None:
    """However many of their chunks wait, and whether some run beside those that wait."""
    wide = (planned("Wide", chunks=4),)
    first, second = run_to_plan(store, wide), run_to_plan(store, (planned("Other", chunks=2),))
    clock.advance(1)
    last = run_to_plan(store, (planned("Third"),))
    assert store.job(last).queued_behind == 2
    assert claim_kind(store, "Wide_1") is not None
    assert store.job(last).queued_behind == 2
    for _ in range(5):
        assert claim_kind(store, "chunk") is not None
    assert [store.job(job_id).queued_behind for job_id in (first, second, last)] == [None, None, 2]


def test_a_place_in_a_long_queue(store: JobStore, clock: Clock) -> None:
    first = store.submit(new_job())
    crowd(store, first, 100)
    clock.advance(1)
    urgent, last = store.submit(new_job(priority=9)), store.submit(new_job())
    assert [store.job(job_id).queued_behind for job_id in (first, urgent, last)] == [1, 0, 102]
    assert [view.queued_behind for view in store.jobs(limit=2).jobs] in ([0, 102], [102, 0])
