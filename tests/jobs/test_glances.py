"""A look at a list of jobs sees whatever the list shows, of its own tenant alone, in three statements."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshroom_tasks.jobs.glances import Glance
from meshroom_tasks.jobs.records import JobStatus
from meshroom_tasks.jobs.store import JobStore

from .conftest import RESULTS, Clock, claim_kind, completed, delete, new_job, run_chunks, run_to_plan
from .test_pages import statements

MINE = "default"


def look(store: JobStore, status: JobStatus | None = None, cursor: str | None = None, limit: int = 20) -> Glance:
    return store.glance(tenant=MINE, limit=limit, status=status, cursor=cursor)


def end(store: JobStore) -> None:
    run_chunks(store)
    work = claim_kind(store, "results")
    assert work is not None
    assert store.finish_results(work, RESULTS, {})


@pytest.mark.parametrize(
    "act",
    [
        lambda store, _: store.submit(new_job()),
        lambda store, _: claim_kind(store, "chunk"),
        lambda store, _: end(store),
        lambda store, job_id: store.cancel(job_id),
    ],
    ids=["a job is added", "a chunk is taken", "the job ends", "it is cancelled"],
)
def test_what_the_list_shows_is_seen(store: JobStore, clock: Clock, act: Callable[[JobStore, str], object]) -> None:
    job_id = run_to_plan(store)
    before = look(store)
    assert before == look(store)
    clock.advance(1)
    act(store, job_id)
    assert look(store).mark != before.mark


def test_progress_alone_is_seen(store: JobStore) -> None:
    run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    before = look(store)
    assert store.heartbeat(work, 0.5) is None
    assert look(store).mark != before.mark


def test_a_job_that_is_gone_is_seen(store: JobStore) -> None:
    job_id = completed(store)
    before = look(store)
    assert not before.is_live
    delete(store, job_id)
    assert look(store) == store.glance(tenant="nobody", limit=20) != before


def test_other_tenants_are_not_seen(store: JobStore, clock: Clock) -> None:
    store.add_tenant("other")
    run_to_plan(store)
    before = look(store)
    clock.advance(1)
    store.cancel(run_to_plan(store, tenant="other"))
    assert look(store).mark == before.mark


def test_a_filter_hides_what_it_hides(store: JobStore, clock: Clock) -> None:
    completed(store)
    before = {status: look(store, status) for status in ("completed", "queued", "failed")}
    clock.advance(1)
    store.submit(new_job())
    after = {status: look(store, status) for status in before}
    assert [status for status in before if after[status].mark != before[status].mark] == ["queued"]
    assert [status for status in after if after[status].is_live] == ["queued"]


def test_a_later_page_sees_its_own_jobs(store: JobStore, clock: Clock) -> None:
    first = store.submit(new_job())
    for _ in range(2):
        clock.advance(1)
        store.submit(new_job())
    cursor = store.jobs(limit=2).next_cursor
    before = look(store, cursor=cursor, limit=2)
    store.submit(new_job())
    assert look(store, cursor=cursor, limit=2) == before
    clock.advance(1)
    store.cancel(first)
    assert look(store, cursor=cursor, limit=2).mark != before.mark


def test_it_costs_two_statements_however_many_jobs_there_are(store: JobStore, clock: Clock) -> None:
    for _ in range(5):
        run_to_plan(store)
        clock.advance(1)
    with statements(store) as sent:
        look(store)
    about_jobs = [statement for statement in sent if "FROM job" in statement or "FROM step" in statement]
    assert len(about_jobs) == 2
