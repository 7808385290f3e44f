"""What steps have cost: the sums as tables, and what the store makes of finished steps."""

from __future__ import annotations

import random
import threading
from dataclasses import replace

import pytest

from meshroom_tasks.errors import EngineError
from meshroom_tasks.jobs.experience import Experience, Sample, effort
from meshroom_tasks.jobs.records import Usage
from meshroom_tasks.jobs.store import JobStore

from .conftest import Clock, claim_kind, entry_for, planned, run_to_plan


def learnt(*samples: tuple[int, float]) -> Experience:
    """From (views, seconds)."""
    experience = Experience()
    for views, seconds in samples:
        experience = experience.after(Sample(max(1, views), views, seconds, 2 * seconds, 1000 * views, 50))
    return experience


@pytest.mark.parametrize(
    ("samples", "views", "expected"),
    [
        ([(10, 20.0)], 10, 20),
        ([(10, 20.0)], 40, 80),
        ([(0, 5.0)], 1, 5),
        ([(20, 20.0)] * 50, 20, 20),
        ([(20, 10.0), (20, 20.0), (20, 30.0)], 20, 20),
        ([(40, 42.0), (1, 3.0)] * 10, 40, 42),
        ([(40, 42.0), (1, 3.0)] * 10, 1, 3),
        ([(40, 42.0), (1, 3.0)] * 10, 20, 22),
        ([(10, 100.0), (40, 0.1)], 40, 50),
    ],
)
def test_seconds_by_views(samples: list[tuple[int, float]], views: int, expected: float) -> None:
    assert learnt(*samples).seconds_for(views) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("node_type", "views", "photos", "expected"),
    [
        ("DepthMap", 12, 23, 12),
        ("DepthMap", 0, 23, 1),
        ("FeatureMatching", 23, 23, 253),
        ("FeatureMatching", 20, 100, 990),
        ("FeatureMatching", 20, 1000, 500),
        ("FeatureMatching", 0, 1, 1),
    ],
)
def test_effort(node_type: str, views: int, photos: int, expected: float) -> None:
    assert effort(node_type, views, photos) == expected


def test_no_experience_foretells_nothing() -> None:
    assert (Experience().seconds_for(10), Experience().output_bytes_for(10)) == (0, 0)


def test_it_is_never_negative_and_grows_with_the_views() -> None:
    dice = random.Random(1)
    for _ in range(200):
        experience = learnt(*((dice.randint(1, 60), dice.uniform(0, 90)) for _ in range(dice.randint(1, 30))))
        foretold = [experience.seconds_for(views) for views in range(1, 100)]
        assert foretold == sorted(foretold)
        assert foretold[0] >= 0


def test_an_accident_changes_little_and_a_new_machine_much() -> None:
    usual = [(10, 10.0)] * 20
    assert learnt(*usual, (10, 10_000.0)).seconds_for(10) < 13
    assert learnt(*usual, *[(10, 100.0)] * 20).seconds_for(10) > 60


def test_bytes_are_by_view_and_the_peak_is_slowly_forgotten() -> None:
    experience = learnt((10, 1.0), (30, 1.0))
    assert experience.output_bytes_for(7) == 7000
    assert experience.cpu_seconds_for(20) == pytest.approx(2.05, rel=0.05)
    higher = experience.after(Sample(1, 1, 1, 1, 1, 1000))
    assert higher.peak_bytes == 1000
    assert 500 < higher.after(Sample(1, 1, 1, 1, 1, 10)).peak_bytes < 1000


GRAPH = (planned("Init"), replace(planned("Left", "Init", chunks=2), block_size=2, size=3))


def test_the_store_learns_from_what_was_computed(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store, GRAPH)
    assert store.experience("engine-1", "Init") is None
    assert store.experience("", "plan") is not None
    init = claim_kind(store, "Init")
    assert init is not None
    assert init.views == 3
    clock.advance(6)
    assert store.heartbeat(init, 0.5) is None
    entry = replace(entry_for(init), usage=Usage(5.0, 8.0, 77), unpacked_size=900)
    assert store.finish_chunk(init, entry)
    found = store.experience("engine-1", "Init")
    assert found == Experience().after(Sample(3, 3, 6.0, 8.0, 900, 77))
    assert not store.finish_chunk(init, entry)
    assert store.experience("engine-1", "Init") == found
    assert store.experience("engine-2", "Init") is None
    works = [claim_kind(store, "Left") for _ in range(2)]
    assert sorted(work.views for work in works if work) == [1, 2]
    assert works[0] is not None
    assert works[1] is not None
    store.finish_chunk(works[0], replace(entry_for(works[0]), cached=True))
    store.fail(works[1], EngineError("no"))
    assert store.experience("engine-1", "Left") is None
    assert store.job(job_id).status == "running"


def test_jobs_that_finish_at_once_lose_no_sample(store: JobStore, clock: Clock) -> None:
    works = []
    for uid in "abcdefgh":
        run_to_plan(store, (replace(planned("Init"), uid=uid),))
        works.append(claim_kind(store, "Init"))
    clock.advance(4)
    threads = [threading.Thread(target=store.finish_chunk, args=(work, entry_for(work))) for work in works if work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = Experience()
    for _ in works:
        expected = expected.after(Sample(3, 3, 4.0, 2.0, 0, 3))
    assert store.experience("engine-1", "Init") == expected
