"""Fair shares: which tenant is next, and how many jobs of one may run."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from meshroom_tasks.errors import ImageUnreachable
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.records import TenantLimits, Work
from meshroom_tasks.jobs.shares import Share, fair_order
from meshroom_tasks.jobs.store import JobStore

from .conftest import GRAPH, PHOTOS, RESULTS, Clock, entry_for, new_job, planned
from .crowds import crowd
from .test_turns import sent

MANY = 1000
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def turn(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


ORDERS: dict[str, tuple[list[Share], str]] = {
    "nobody waits": ([], ""),
    "who was never served comes before who was": ([Share("a", 1, 0, turn(0)), Share("b", 1, 0, None)], "ba"),
    "the least running": ([Share("a", 1, 2, turn(0)), Share("b", 1, 1, turn(9)), Share("c", 1, 3, None)], "bac"),
    "the longest ago": ([Share("a", 1, 1, turn(2)), Share("b", 1, 1, turn(1))], "ba"),
    "for its weight": ([Share("a", 4, 2, turn(9)), Share("b", 1, 1, turn(1))], "ab"),
    "the same for its weight": ([Share("a", 2, 2, turn(9)), Share("b", 1, 1, turn(1))], "ba"),
    "a small weight is no exclusion": ([Share("a", 0.1, 0, None), Share("b", 9, 1, None)], "ab"),
    "names decide at last": ([Share("b", 1, 0, None), Share("a", 1, 0, None)], "ab"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_the_tenant_with_the_least_share_is_next(case: str) -> None:
    shares, expected = ORDERS[case]
    assert "".join(share.tenant for share in fair_order(shares)) == expected


def submit(store: JobStore, tenant: str, count: int = 1, **more: object) -> list[str]:
    store.add_tenant(tenant)
    return [store.submit(new_job(tenant=tenant, callback_url=None, **more)) for _ in range(count)]


def take(store: JobStore, hint: str) -> Work:
    work = store.claim(hint, "w")
    assert work is not None
    return work


def tenants_of(store: JobStore, works: list[Work]) -> str:
    return "".join(store.job(work.job_id).tenant for work in works)


def test_one_job_does_not_wait_for_the_thousand_before_it(store: JobStore, clock: Clock) -> None:
    (one,) = submit(store, "a")
    crowd(store, one, MANY - 1)
    hint = store.take_hints(1)[0].subject
    first = take(store, hint)
    clock.advance(60)
    submit(store, "b")
    assert tenants_of(store, [first, take(store, hint), take(store, hint)]) == "aba"


def test_with_one_worker_tenants_take_turns(store: JobStore, clock: Clock) -> None:
    for tenant, count in (("a", 6), ("b", 3), ("c", 2)):
        submit(store, tenant, count)
        clock.advance(1)
    hint, served = sent(store)[0].subject, []
    for _ in range(11):
        work = take(store, hint)
        served.append(work)
        clock.advance(1)
        store.fail(work, ImageUnreachable("gone"))
    assert tenants_of(store, served) == "abcabcabaaa"


def test_workers_are_shared_by_weight(store: JobStore) -> None:
    for tenant in ("a", "b"):
        submit(store, tenant, 20)
    store.change_tenant("a", {"weight": 3.0})
    hint = sent(store)[0].subject
    assert Counter(tenants_of(store, [take(store, hint) for _ in range(12)])) == {"a": 9, "b": 3}


def test_priorities_count_within_a_tenant(store: JobStore, clock: Clock) -> None:
    wanted = {}
    for tenant, priorities in (("a", (9, 9, 9)), ("b", (0, 5, 1))):
        for priority in priorities:
            (wanted[tenant, priority],) = submit(store, tenant, priority=priority)
            clock.advance(1)
    hint = sent(store)[0].subject
    works = []
    for _ in range(6):
        works.append(take(store, hint))
        clock.advance(1)
    assert tenants_of(store, works) == "ababab"
    assert [work.job_id for work in works[1::2]] == [wanted["b", priority] for priority in (5, 1, 0)]


def test_a_queue_is_shared_by_itself(store: JobStore) -> None:
    """Who computes much on one kind of worker has no less of another kind."""
    for tenant in ("a", "b"):
        submit(store, tenant)
        ingest = take(store, sent(store)[0].subject)
        store.finish_ingest(ingest, PHOTOS, f"{ingest.job_id:0<64.64}", ())
        plan = take(store, sent(store)[0].subject)
        store.finish_plan(plan, "engine-1", (planned("Init", queue="gpu"),))
        (gpu_hint,) = sent(store)
    submit(store, "a", 3)
    hints = sent(store)
    assert tenants_of(store, [take(store, hint.subject) for hint in hints]) == "aaa"
    assert tenants_of(store, [take(store, gpu_hint.subject) for _ in range(2)]) == "ab"


def test_no_more_jobs_run_than_may(store: JobStore, clock: Clock) -> None:
    submit(store, "a", 5)
    store.change_tenant("a", {"max_running_jobs": 2})
    hints = sent(store)
    begun = [take(store, hints[0].subject), take(store, hints[0].subject)]
    assert store.claim(hints[0].subject, "w") is None
    for work in begun:
        store.finish_ingest(work, PHOTOS, f"{work.job_id:0<64.64}", ())
    plans = sent(store)
    assert {take(store, hint.subject).kind for hint in plans} == {"plan"}, "what has begun goes on"
    assert store.claim(hints[0].subject, "w") is None
    (other,) = submit(store, "b")
    assert take(store, hints[0].subject).job_id == other, "others are not kept"


def test_the_place_of_a_job_that_ended_is_announced_and_taken(store: JobStore, clock: Clock) -> None:
    submit(store, "a", 3)
    (urgent,) = submit(store, "a", priority=9)
    store.change_tenant("a", {"max_running_jobs": 1})
    hints = sent(store)
    work = take(store, hints[0].subject)
    assert work.job_id == urgent
    assert all(store.claim(hint.subject, "w") is None for hint in hints)
    store.fail(work, ImageUnreachable("gone"))
    (hint,) = sent(store)
    assert take(store, hint.subject).kind == "ingest"
    assert store.claim(hint.subject, "w") is None


def test_a_limit_that_is_lifted_lets_what_waits_begin(store: JobStore, clock: Clock) -> None:
    submit(store, "a", 3)
    store.change_tenant("a", {"max_running_jobs": 1})
    assert sum(store.claim(hint.subject, "w") is not None for hint in sent(store)) == 1
    clock.advance(60)
    assert store.renew_hints() == 0, "nothing is announced that nobody may take"
    store.change_tenant("a", {"max_running_jobs": None})
    assert store.renew_hints() == 2
    assert sum(store.claim(hint.subject, "w") is not None for hint in sent(store)) == 2


def test_the_limit_of_the_settings_holds_where_a_tenant_has_none(url: str) -> None:
    store = JobStore(Database(url), default_limits=TenantLimits(max_running_jobs=1))
    submit(store, "a", 2)
    submit(store, "b", 2)
    store.change_tenant("b", {"max_running_jobs": 0})
    hint = sent(store)[0].subject
    works = [work for _ in range(5) if (work := store.claim(hint, "w")) is not None]
    assert Counter(tenants_of(store, works)) == {"a": 1, "b": 2}
    store.database.engine.dispose()


def test_the_last_place_is_taken_once_however_many_reach_for_it(store: JobStore) -> None:
    for tenant in ("a", "b"):
        submit(store, tenant, 20)
        store.change_tenant(tenant, {"max_running_jobs": 3})
    hints = [hint.subject for hint in sent(store)]
    with ThreadPoolExecutor(8) as pool:
        works = [work for work in pool.map(lambda hint: store.claim(hint, "w"), hints) if work is not None]
    assert Counter(tenants_of(store, works)) == {"a": 3, "b": 3}


def test_a_requeued_job_waits_for_a_place_like_a_new_one(store: JobStore, clock: Clock) -> None:
    (first,) = submit(store, "a")
    store.cancel(first)
    submit(store, "a")
    store.change_tenant("a", {"max_running_jobs": 1})
    take(store, sent(store)[-1].subject)
    store.requeue(first)
    assert [store.claim(hint.subject, "w") for hint in sent(store)] == [None]


def test_queued_behind_counts_the_turns_of_others(store: JobStore, clock: Clock) -> None:
    submit(store, "a", 50)
    clock.advance(1)
    mine = []
    for _ in range(3):
        mine += submit(store, "b")
        clock.advance(1)
    assert [store.job(job_id).queued_behind for job_id in mine] == [0, 2, 4]


def test_hints_are_renewed_for_each_tenant(store: JobStore, clock: Clock) -> None:
    submit(store, "a", 200)
    (other,) = submit(store, "b")
    store.drop_hints([hint.id for hint in store.take_hints(1000)])
    clock.advance(60)
    store.renew_hints()
    assert other in {hint.job_id for hint in store.take_hints(1000)}


def test_all_of_two_tenants_jobs_end(store: JobStore) -> None:
    """The same graph and photos: what one computes the other waits for."""
    ids = [*submit(store, "a", 2), *submit(store, "b", 2)]
    messages = sent(store)
    while messages:
        work = store.claim(messages.pop(0).subject, "w")
        if work is None:
            continue
        if work.kind == "ingest":
            store.finish_ingest(work, PHOTOS, "d" * 64, ())
        elif work.kind == "plan":
            store.finish_plan(work, "engine-1", GRAPH)
        elif work.kind == "chunk":
            store.finish_chunk(work, entry_for(work))
        else:
            store.finish_results(work, RESULTS, {})
        messages += sent(store)
    assert {store.job(job_id).status for job_id in ids} == {"completed"}
