"""Whose turn it is: a hint leads to the best step of its queue, and no step is forgotten for it."""

from __future__ import annotations

import pytest

from meshroom_tasks.jobs.outbox import _RENEWED_AT_ONCE, Hint
from meshroom_tasks.jobs.records import Work
from meshroom_tasks.jobs.store import JobStore

from .conftest import DIGEST, GRAPH, PHOTOS, Clock, entry_for, new_job, planned, run_to_plan


def sent(store: JobStore) -> list[Hint]:
    """The hints that wait in the outbox, as messages that arrive once each."""
    hints = store.take_hints(1000)
    store.drop_hints([hint.id for hint in hints])
    return list(hints)


def claimed(store: JobStore, hint: Hint) -> Work:
    work = store.claim(hint.subject, "w")
    assert work is not None
    return work


def test_the_highest_priority_goes_first_then_the_oldest(store: JobStore, clock: Clock) -> None:
    ids = []
    for priority in (5, 0, 9, 5, 9):
        ids.append(store.submit(new_job(priority=priority)))
        clock.advance(1)
    order = [claimed(store, hint).job_id for hint in sent(store)]
    assert order == [ids[2], ids[4], ids[0], ids[3], ids[1]]


def test_a_late_job_of_high_priority_overtakes_at_every_stage(store: JobStore, clock: Clock) -> None:
    run_to_plan(store, GRAPH)
    clock.advance(1)
    low_hints = sent(store)
    urgent = store.submit(new_job(priority=9))
    messages = [*low_hints, *sent(store)]
    ran = []
    while messages:
        work = store.claim(messages.pop(0).subject, "w")
        if work is None:
            continue
        ran.append((work.job_id == urgent, work.kind, work.node))
        if work.kind == "ingest":
            store.finish_ingest(work, PHOTOS, "e" * 64, ())
        elif work.kind == "plan":
            store.finish_plan(work, "engine-1", GRAPH)
        elif work.kind == "chunk":
            store.finish_chunk(work, entry_for(work))
        messages += sent(store)
    first_low_after = [urgent_one for urgent_one, kind, _ in ran if kind == "chunk"]
    assert len(first_low_after) == 10, "every hint was worth one claim, and none was missing"
    # Both jobs wait in the same queue once the urgent one is planned: from then on it is served alone.
    begun = first_low_after.index(True)
    assert first_low_after[begun : begun + 5] == [True] * 5


def test_steps_of_one_job_go_in_the_order_of_the_graph(store: JobStore) -> None:
    graph = (planned("Init"), planned("Left", "Init", chunks=2), planned("Right", "Init"))
    run_to_plan(store, graph)
    init = claimed(store, sent(store)[0])
    store.finish_chunk(init, entry_for(init))
    taken = [claimed(store, hint) for hint in reversed(sent(store))]
    assert [(work.node, work.chunk) for work in taken] == [("Left_1", 0), ("Left_1", 1), ("Right_1", 0)]


def test_a_hint_is_worth_nothing_in_another_queue(store: JobStore) -> None:
    run_to_plan(store, (planned("Init", queue="gpu"),))
    (gpu_hint,) = sent(store)
    store.submit(new_job(priority=9))
    (ingest_hint,) = sent(store)
    work = claimed(store, gpu_hint)
    assert work.node == "Init_1"
    assert store.claim(gpu_hint.subject, "w") is None
    assert claimed(store, ingest_hint).kind == "ingest"


def test_what_another_job_computes_is_passed_over_and_announced_at_its_end(store: JobStore, clock: Clock) -> None:
    first = run_to_plan(store, GRAPH[:1], priority=9)
    clock.advance(1)
    second = run_to_plan(store, GRAPH[:1], priority=8)
    clock.advance(1)
    other_job = store.submit(new_job(priority=1))
    ingest = claimed(store, sent(store)[-1])
    assert ingest.job_id == other_job
    store.finish_ingest(ingest, PHOTOS, DIGEST[::-1].replace("d", "f"), ())
    plan = claimed(store, sent(store)[0])
    store.finish_plan(plan, "engine-1", GRAPH[:1])
    (hint,) = sent(store)
    running = claimed(store, hint)
    assert running.job_id == first
    assert claimed(store, hint).job_id == other_job, "the second job's chunk is the same as the running one"
    assert store.claim(hint.subject, "w") is None
    store.finish_chunk(running, entry_for(running))
    again = next(hint for hint in sent(store) if hint.job_id == second)
    assert claimed(store, again).job_id == second


def test_a_retry_that_is_not_due_is_passed_over(store: JobStore, clock: Clock) -> None:
    from meshroom_tasks.errors import StorageUnavailable

    urgent = store.submit(new_job(priority=9))
    (hint,) = sent(store)
    store.fail(claimed(store, hint), StorageUnavailable("away"))
    later = store.submit(new_job(priority=0))
    assert claimed(store, hint).job_id == later
    clock.advance(3)
    assert store.renew_hints() == 1
    assert claimed(store, sent(store)[0]).job_id == urgent


@pytest.mark.parametrize("jobs", [3, 2 * _RENEWED_AT_ONCE])
def test_a_purged_queue_is_served_to_the_last_step(store: JobStore, clock: Clock, jobs: int) -> None:
    for _ in range(jobs):
        store.submit(new_job())
    sent(store)  # And lost, every one of them.
    taken, rounds = 0, 0
    while taken < jobs and rounds < 20:
        clock.advance(10)
        assert store.renew_hints() <= _RENEWED_AT_ONCE
        taken += sum(store.claim(hint.subject, "w") is not None for hint in sent(store))
        rounds += 1
    assert taken == jobs
    assert rounds == -(-jobs // _RENEWED_AT_ONCE)
