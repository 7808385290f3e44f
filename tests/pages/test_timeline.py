"""When what ran, as bars to scale."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshroom_tasks.jobs.records import ChunkView, JobView, StageView
from web.pages.timeline import Timeline, timeline

BEGIN = datetime(2026, 1, 2, tzinfo=UTC)
NOW = BEGIN + timedelta(hours=1)
CHUNK = ChunkView(0, "done", 1, False, 1.0, "cpu@a", BEGIN, BEGIN, None, None)


def chunk(begin: float, end: float | None, **more: Any) -> ChunkView:
    finished = None if end is None else BEGIN + timedelta(seconds=end)
    return replace(CHUNK, started_at=BEGIN + timedelta(seconds=begin), finished_at=finished, **more)


def drawn(*stages: list[ChunkView], now: datetime = NOW) -> Timeline:
    views = tuple(
        StageView(f"Stage{number}_1", f"Stage{number}", "done", 1.0, False, tuple(chunks))
        for number, chunks in enumerate(stages)
    )
    found = timeline(cast(JobView, SimpleNamespace(stages=views)), now)
    assert found is not None
    return found


def test_there_is_nothing_to_draw_before_anything_ran() -> None:
    waiting = replace(CHUNK, started_at=None, finished_at=None, state="ready", worker=None)
    stage = StageView("ingest", "ingest", "ready", 0.0, False, (waiting,))
    assert timeline(cast(JobView, SimpleNamespace(stages=(stage,))), NOW) is None


def test_lengths_are_to_scale() -> None:
    first, second = drawn([chunk(0, 10)], [chunk(10, 40)]).bars
    assert (first.x, second.x) == (0.0, 25.0)
    assert second.width == pytest.approx(3 * first.width)
    assert second.x + second.width == pytest.approx(100)


def test_what_runs_ends_now() -> None:
    assert drawn([chunk(0, None, state="running")], now=BEGIN + timedelta(seconds=30)).total_seconds == 30


def test_each_worker_has_as_many_lanes_as_it_ran_chunks_at_a_time() -> None:
    found = drawn([chunk(0, 10, worker="b"), chunk(0, 5, worker="a"), chunk(5, 9, worker="a"), chunk(2, 7, worker="a")])
    assert [(worker.name, worker.first_lane, worker.lanes) for worker in found.workers] == [("a", 0, 2), ("b", 2, 1)]
    assert sorted(bar.lane for bar in found.bars) == [0, 0, 1, 2]
    assert found.height == 3 * 26


def test_a_day_without_work_is_cut() -> None:
    found = drawn([chunk(0, 50)], [chunk(86_400, 86_450)])
    assert [cut.text for cut in found.cuts] == ["23 h 59 min"]
    first, second = found.bars
    assert first.width == pytest.approx(second.width) == pytest.approx(48.5)
    assert second.x + second.width == pytest.approx(100)
    assert len(found.ticks) < 12


def test_a_bar_says_all_that_is_known() -> None:
    (bar, other) = drawn([chunk(0, 10, attempts=2), chunk(0, 0.001, cached=True, index=1)]).bars
    assert bar.label == "Stage0, chunk 1 of 2, done, 10 s, on cpu@a, attempt 2"
    assert other.label == "Stage0, chunk 2 of 2, taken from the cache, 0.0 s, on cpu@a"
    assert bar.text == "Stage0 1"
    assert other.text == ""
    assert other.width == 0.25
