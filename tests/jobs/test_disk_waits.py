"""A step for which a worker has no room: it waits, for other workers not at all, and that costs no attempt."""

from __future__ import annotations

from meshroom_tasks.jobs.records import ChunkView, Work
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.stops import WaitingForDisk

from .conftest import Clock, entry_for, planned, run_to_plan

GRAPH = (planned("Left"), planned("Right"))
FULL = WaitingForDisk("needs 3.1 GB, 800 MB free")


def announced(store: JobStore, name: str) -> Work | None:
    """What a worker gets from the hints that are out now; it leaves those that it has no use for to others."""
    store.renew_hints()
    hints = list(store.take_hints())
    work = None
    while hints and work is None:
        hint = hints.pop(0)
        store.drop_hints([hint.id])
        work = store.claim(hint.subject, name)
    store.give_hints_back([hint.id for hint in hints])
    return work


def begun(store: JobStore, *workers: str) -> tuple[str, Work]:
    """A job and its first chunk, claimed by the first worker; all of them are there."""
    for name in workers:
        store.worker_started(WorkerFacts(name, name.partition("@")[2], 1, ("cpu",), 1))
    job_id = run_to_plan(store, GRAPH)
    hint, *others = (hint for hint in store.take_hints() if hint.queue == "cpu")
    store.drop_hints([hint.id])
    store.give_hints_back([other.id for other in others])
    work = store.claim(hint.subject, workers[0])
    assert work is not None
    assert work.node == "Left_1"
    return job_id, work


def left(store: JobStore, job_id: str) -> ChunkView:
    (stage,) = (stage for stage in store.job(job_id).stages if stage.name == "Left_1")
    return stage.chunks[0]


def test_the_reason_is_seen_and_no_attempt_lost(store: JobStore) -> None:
    job_id, work = begun(store, "cpu@a", "cpu@b")
    store.fail(work, FULL)
    chunk = left(store, job_id)
    assert (chunk.state, chunk.attempts) == ("ready", 0)
    assert chunk.waiting == "waiting for disk on worker cpu@a: needs 3.1 GB, 800 MB free"
    assert store.job(job_id).status == "running"
    again = announced(store, "cpu@b")
    assert again is not None
    assert (again.node, again.attempt) == ("Left_1", 1)
    assert left(store, job_id).waiting is None


def test_the_full_worker_takes_what_fits_instead(store: JobStore, clock: Clock) -> None:
    _, work = begun(store, "cpu@a", "cpu@b")
    store.fail(work, FULL)
    other = announced(store, "cpu@a")
    assert other is not None
    assert other.node == "Right_1"
    clock.advance(2)
    assert announced(store, "cpu@a") is None
    clock.advance(1.5)
    passed_on = announced(store, "cpu@b")
    assert passed_on is not None, "a hint that the full worker got is sent again for the others"
    assert passed_on.node == "Left_1"


def test_the_full_worker_is_asked_again_later(store: JobStore, clock: Clock) -> None:
    job_id, work = begun(store, "cpu@a")
    other = announced(store, "cpu@a")
    assert other is not None
    store.finish_chunk(other, entry_for(other))
    for _ in range(3):
        store.fail(work, FULL)
        clock.advance(8)
        assert announced(store, "cpu@a") is None, "not in a tight loop"
        clock.advance(3)
        again = announced(store, "cpu@a")
        assert again is not None
        work = again
    store.finish_chunk(work, entry_for(work))
    assert left(store, job_id).attempts == 1


def test_every_full_worker_is_asked_once_in_a_round(store: JobStore, clock: Clock) -> None:
    job_id, work = begun(store, "cpu@a", "cpu@b")
    other = announced(store, "cpu@a")
    assert other is not None
    store.fail(work, FULL)
    second = announced(store, "cpu@b")
    assert second is not None
    store.fail(second, WaitingForDisk("needs 3.1 GB, 0 kB free"))
    assert left(store, job_id).waiting == (
        "waiting for disk on worker cpu@a: needs 3.1 GB, 800 MB free; "
        "waiting for disk on worker cpu@b: needs 3.1 GB, 0 kB free"
    )
    clock.advance(5)
    store.heartbeat(other, 0.5)
    for name in ("cpu@a", "cpu@b"):
        store.worker_seen(WorkerFacts(name, "x", 1, ("cpu",), 1))
        assert announced(store, name) is None
    clock.advance(6)
    assert announced(store, "cpu@b") is not None


def test_a_cancelled_job_waits_for_no_disk(store: JobStore) -> None:
    job_id, work = begun(store, "cpu@a")
    store.cancel(job_id)
    store.fail(work, FULL)
    assert store.job(job_id).status == "cancelled"
