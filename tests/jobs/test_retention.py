"""When jobs and results expire, who is told before, and what may be given up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from alembic import command

from meshroom_tasks.errors import Conflict, NotFound, PhotosBeingRemoved, PhotosWithoutOverlap
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.records import OPTIONAL_EVENTS, AttemptView, Expiry, Work
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.uploads import UploadFile
from meshroom_tasks.stops import JobCancelled, LeaseLost

from .conftest import DIGEST, RESULTS, Clock, claim_kind, delete, entry_for, new_job, run_chunks, run_to_plan

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def expiring(url: str, clock: Clock) -> JobStore:
    """A store that keeps jobs for ten days, results for five, and tells a day before."""
    return JobStore(Database(url), clock=clock, expiry=Expiry(job=10 * DAY, results=5 * DAY, notice=DAY))


def completed(store: JobStore, **changes: object) -> str:
    job_id = run_to_plan(store, **{"callback_url": None, **changes})
    run_chunks(store)
    work = claim_kind(store, "results")
    assert work is not None
    assert store.finish_results(work, RESULTS, {})
    return job_id


def moments(store: JobStore, job_id: str, clock: Clock) -> tuple[timedelta | None, timedelta | None]:
    """How long from now until the job expires, and its results."""
    view = store.job(job_id)
    job, results = view.expires_at, view.results_expire_at
    return job - clock() if job else None, results - clock() if results else None


def told(store: JobStore, job_id: str) -> list[str]:
    views = (view for view in store.deliveries(job_id) if view.event == "job.expiring")
    return [f"{view.body['what']} {view.body['expires_at']}" for view in views]


def receive_all(store: JobStore, clock: Clock, job_id: str) -> None:
    for view in store.deliveries(job_id):
        if (due := store.claim_delivery(view.id)) is not None:
            store.record_attempt(due, AttemptView(1, clock(), 204, None, 0.1, ""), "succeeded", None)


def test_nothing_expires_unless_somebody_says_so(store: JobStore, clock: Clock) -> None:
    job_id = completed(store)
    assert moments(store, job_id, clock) == (None, None)
    clock.advance(10**9)
    assert store.tell_expiring(10) == 0
    assert (store.expired_jobs(10), store.expired_results(10)) == ((), ())
    store.extend(job_id, DAY)
    assert moments(store, job_id, clock) == (None, None), "for ever is longer"


def test_a_job_expires_after_its_end(expiring: JobStore, clock: Clock) -> None:
    live = run_to_plan(expiring)
    assert moments(expiring, live, clock) == (None, None)
    expiring.cancel(live)
    assert moments(expiring, live, clock) == (10 * DAY, None), "it has no results"
    assert moments(expiring, completed(expiring), clock) == (10 * DAY, 5 * DAY)
    short = completed(expiring, expires_in=60.0)
    assert moments(expiring, short, clock)[0] == timedelta(minutes=1), "the request goes before the setting"
    assert expiring.job(short).expires_in == 60.0


def test_a_job_that_runs_again_expires_after_its_next_end(expiring: JobStore, clock: Clock) -> None:
    job_id = completed(expiring)
    clock.advance(86_400)
    expiring.requeue(job_id, "Join")
    assert moments(expiring, job_id, clock) == (None, None)
    run_chunks(expiring)
    work = claim_kind(expiring, "results")
    assert work is not None
    expiring.finish_results(work, RESULTS, {})
    assert moments(expiring, job_id, clock) == (10 * DAY, 5 * DAY)


def test_it_is_told_of_each_expiry_once_and_before(expiring: JobStore, clock: Clock) -> None:
    job_id = completed(expiring, callback_url="http://cb/x", callback_events=OPTIONAL_EVENTS)
    end = clock()
    clock.advance((4 * DAY).total_seconds() - 1)
    assert expiring.tell_expiring(10) == 0
    clock.advance(1)
    assert expiring.tell_expiring(10) == 1
    assert expiring.tell_expiring(10) == 0
    assert told(expiring, job_id) == [f"results {(end + 5 * DAY).isoformat()}"]
    expiring.extend(job_id, 3 * DAY)
    assert moments(expiring, job_id, clock) == (6 * DAY, 3 * DAY)
    clock.advance((3 * DAY).total_seconds())
    expiring.tell_expiring(10)
    assert told(expiring, job_id)[1:] == [f"results {(end + 7 * DAY).isoformat()}"], "the time has changed"
    clock.advance((2 * DAY).total_seconds())
    expiring.tell_expiring(10)
    assert told(expiring, job_id)[2:] == [f"job {(end + 10 * DAY).isoformat()}"]


def test_results_that_go_with_their_job_are_not_told_of_besides(url: str, clock: Clock) -> None:
    store = JobStore(Database(url), clock=clock, expiry=Expiry(job=DAY, results=DAY + HOUR, notice=2 * DAY))
    job_id = completed(store, callback_url="http://cb/x", callback_events=OPTIONAL_EVENTS)
    store.tell_expiring(10)
    assert [line.split()[0] for line in told(store, job_id)] == ["job"]
    assert store.tell_expiring(10) == 0


def test_nothing_goes_before_its_client_was_told(expiring: JobStore, clock: Clock) -> None:
    job_id = completed(expiring, callback_url="http://cb/x", callback_events=OPTIONAL_EVENTS)
    clock.advance((20 * DAY).total_seconds())
    assert (expiring.expired_jobs(10), expiring.expired_results(10)) == ((), ())
    assert not expiring.give_up_expired_job(job_id)
    assert not expiring.give_up_results(job_id)
    expiring.tell_expiring(10)
    assert len(told(expiring, job_id)) == 2
    assert (expiring.expired_jobs(10), expiring.expired_results(10)) == ((), ()), "the messages are not posted yet"
    receive_all(expiring, clock, job_id)
    assert (expiring.expired_jobs(10), expiring.expired_results(10)) == ((job_id,), (job_id,))


def test_who_did_not_ask_is_not_told(expiring: JobStore, clock: Clock) -> None:
    job_id = completed(expiring, callback_url="http://cb/x")
    receive_all(expiring, clock, job_id)
    clock.advance((20 * DAY).total_seconds())
    expiring.tell_expiring(10)
    assert told(expiring, job_id) == []
    assert expiring.expired_jobs(10) == (job_id,)


@pytest.mark.parametrize("rescue", [lambda store, job_id: store.extend(job_id, DAY), JobStore.requeue])
def test_what_is_needed_again_at_the_last_moment_stays(
    expiring: JobStore, clock: Clock, rescue: Callable[[JobStore, str], None]
) -> None:
    job_id = run_to_plan(expiring, callback_url=None)
    expiring.cancel(job_id)
    clock.advance((20 * DAY).total_seconds())
    expiring.tell_expiring(10)
    assert expiring.expired_jobs(10) == (job_id,)
    rescue(expiring, job_id)
    assert not expiring.give_up_expired_job(job_id)
    assert expiring.job(job_id)


def test_what_is_given_up_does_not_exist_until_its_rows_are_gone(expiring: JobStore, clock: Clock) -> None:
    job_id = completed(expiring, callback_url="http://cb/x")
    (delivery,) = expiring.deliveries(job_id)
    receive_all(expiring, clock, job_id)
    clock.advance((20 * DAY).total_seconds())
    expiring.tell_expiring(10)
    assert expiring.give_up_expired_job(job_id)
    asks: tuple[Callable[[], object], ...] = (
        lambda: expiring.job(job_id),
        lambda: expiring.deliveries(job_id),
        lambda: expiring.cancel(job_id),
        lambda: expiring.requeue(job_id, "Join"),
        lambda: expiring.extend(job_id, DAY),
        lambda: expiring.redeliver(job_id, delivery.id),
    )
    for ask in asks:
        with pytest.raises(NotFound):
            ask()
    assert expiring.jobs().jobs == ()
    assert expiring.expired_jobs(10) == (job_id,), "somebody has to finish this"
    expiring.give_up_job(job_id)
    assert expiring.forget_job(job_id) == DIGEST
    assert expiring.forget_job(job_id) is None
    with expiring.database.snapshot() as connection:
        for table in tables.metadata.sorted_tables:
            column = table.c.get("id" if table is tables.job else "job_id")
            if column is not None and table is not tables.outbox:
                assert connection.execute(sa.select(table).where(column == job_id)).all() == [], table.name


def test_what_still_runs_of_a_job_that_goes_comes_to_its_end(store: JobStore, clock: Clock) -> None:
    """One worker fails the job, and that of the other chunk dies while the job is removed."""
    job_id = run_to_plan(store, callback_url=None)
    init = claim_kind(store, "Init")
    assert init is not None
    store.finish_chunk(init, entry_for(init))
    dies, fails, stops = (claim_kind(store, kind) for kind in ("Left", "Left", "Right"))
    assert dies is not None
    assert fails is not None
    assert stops is not None
    store.fail(fails, PhotosWithoutOverlap("no"))
    store.give_up_job(job_id)
    assert isinstance(store.heartbeat(stops, 0.5), JobCancelled)
    store.fail(stops, JobCancelled("the job has failed elsewhere"))
    clock.advance(31)
    assert store.reclaim_expired() == 1
    assert store.reclaim_expired() == 0
    store.forget_job(job_id)


def test_a_job_is_forgotten_only_when_it_was_given_up(store: JobStore) -> None:
    job_id = completed(store)
    store.forget_job(job_id)
    store.forget_results(job_id)
    assert store.job(job_id).results == RESULTS


def test_results_go_and_can_be_made_again(expiring: JobStore, clock: Clock) -> None:
    job_id = completed(expiring)
    clock.advance((6 * DAY).total_seconds())
    expiring.tell_expiring(10)
    assert (expiring.expired_results(10), expiring.expired_jobs(10)) == ((job_id,), ())
    assert expiring.give_up_results(job_id)
    assert expiring.job(job_id).results == ()
    assert expiring.expired_results(10) == (job_id,), "somebody has to finish this"
    with pytest.raises(Conflict, match="being removed"):
        expiring.requeue(job_id, "results")
    expiring.forget_results(job_id)
    assert expiring.expired_results(10) == ()
    assert moments(expiring, job_id, clock) == (4 * DAY, -DAY)
    expiring.requeue(job_id, "results")
    work = claim_kind(expiring, "results")
    assert work is not None
    expiring.finish_results(work, RESULTS, {})
    assert expiring.job(job_id).results == RESULTS
    assert moments(expiring, job_id, clock) == (10 * DAY, 5 * DAY)


def test_an_extension_never_shortens(expiring: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(expiring)
    with pytest.raises(Conflict, match="is running"):
        expiring.extend(job_id, DAY)
    expiring.cancel(job_id)
    expiring.extend(job_id, DAY)
    assert moments(expiring, job_id, clock) == (10 * DAY, None)
    for _ in range(2):
        expiring.extend(job_id, 30 * DAY)
        assert moments(expiring, job_id, clock) == (30 * DAY, None)
    with pytest.raises(NotFound):
        expiring.extend(job_id, DAY, tenant="other")


def test_an_upload_is_extended(store: JobStore, clock: Clock) -> None:
    store.add_tenant("a")
    upload = store.create_upload("a", (UploadFile("1.jpg", 5),), HOUR)
    assert store.extend_upload(upload.id, "a", timedelta(minutes=1)) == upload
    later = store.extend_upload(upload.id, "a", DAY)
    assert later.expires_at == clock() + DAY
    assert store.upload(upload.id, "a") == later
    with pytest.raises(NotFound):
        store.extend_upload(upload.id, "b", DAY)
    clock.advance(86_401)
    with pytest.raises(NotFound):
        store.extend_upload(upload.id, "a", DAY)


def ingesting(store: JobStore, **changes: object) -> Work:
    store.submit(new_job(callback_url=None, **changes))
    work = claim_kind(store, "ingest")
    assert work is not None
    return work


def test_photos_stay_until_the_last_job_that_has_them_goes(store: JobStore) -> None:
    store.add_tenant("other")
    first, second = completed(store), completed(store, tenant="other")
    assert store.photos_of_no_job({DIGEST, "e" * 64}) == {"e" * 64}
    delete(store, first)
    assert store.unused_photos(10) == ()
    assert not store.give_up_photos(DIGEST)
    delete(store, second)
    assert store.photos_of_no_job({DIGEST}) == {DIGEST}
    assert store.unused_photos(10) == (DIGEST,)
    assert store.give_up_photos(DIGEST)
    store.forget_photos(DIGEST)
    assert store.unused_photos(10) == ()
    assert not store.give_up_photos(DIGEST)


def test_a_job_does_not_use_photos_that_are_going(store: JobStore, clock: Clock) -> None:
    delete(store, completed(store))
    assert store.give_up_photos(DIGEST)
    assert store.unused_photos(10) == (), "somebody is at it"
    work = ingesting(store)
    with pytest.raises(PhotosBeingRemoved):
        store.use_photos(work, DIGEST)
    clock.advance(121)
    assert store.unused_photos(10) == (DIGEST,), "somebody has to finish this"
    store.forget_photos(DIGEST)
    store.use_photos(ingesting(store), DIGEST)
    assert not store.give_up_photos(DIGEST)


def test_only_who_holds_the_step_says_what_it_uses(store: JobStore, clock: Clock) -> None:
    work = ingesting(store)
    clock.advance(31)
    store.reclaim_expired()
    with pytest.raises(LeaseLost):
        store.use_photos(work, DIGEST)
    assert store.unused_photos(10) == ()


def test_photos_in_storage_that_nobody_knows_are_taken_up(store: JobStore) -> None:
    store.adopt_photos(DIGEST)
    store.adopt_photos(DIGEST)
    assert store.unused_photos(10) == (DIGEST,)
    store.use_photos(ingesting(store), DIGEST)
    assert store.unused_photos(10) == ()


def test_photos_of_jobs_from_before_sets_were_known(store: JobStore) -> None:
    job_id = completed(store)
    database = store.database
    command.downgrade(database._alembic(), "0017")
    database.upgrade()
    assert store.unused_photos(10) == ()
    delete(store, job_id)
    assert store.unused_photos(10) == (DIGEST,)


def test_either_the_job_has_its_photos_or_it_waits_until_they_are_gone(store: JobStore) -> None:
    with ThreadPoolExecutor(2) as pool:
        for number in range(20):
            digest, both = f"{number:064d}", Barrier(2)
            store.adopt_photos(digest)
            work = ingesting(store)

            def use(work: Work = work, digest: str = digest, both: Barrier = both) -> bool:
                both.wait()
                try:
                    store.use_photos(work, digest)
                except PhotosBeingRemoved:
                    return False
                return True

            def give_up(digest: str = digest, both: Barrier = both) -> bool:
                both.wait()
                return store.give_up_photos(digest)

            used, gone = pool.submit(use), pool.submit(give_up)
            assert used.result() != gone.result()
