from __future__ import annotations

import pytest

from meshroom_tasks.jobs.progress import Share, job_progress, seconds_left
from meshroom_tasks.jobs.records import StepState
from meshroom_tasks.jobs.views import stage_state


@pytest.mark.parametrize(
    ("shares", "planned", "expected"),
    [
        ([], True, 0.0),
        ([(10, 0.0), (30, 0.0)], True, 0.0),
        ([(10, 1.0), (30, 0.0)], True, 0.25),
        ([(10, 1.0), (30, 0.5)], True, 0.625),
        ([(10, 1.0), (30, 1.0)], True, 1.0),
        ([(4, 1.0), (0, 1.0)], False, 4 / 104),
    ],
)
def test_progress_is_the_done_part_of_the_weight(
    shares: list[tuple[float, float]], planned: bool, expected: float
) -> None:
    assert job_progress([Share(*share) for share in shares], planned=planned) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("progress", "running", "expected"),
    [(0.0, 100, None), (0.04, 100, None), (0.5, 100, 100), (0.75, 90, 30), (1.0, 50, 0), (0.5, 0, None)],
)
def test_time_left(progress: float, running: float, expected: float | None) -> None:
    assert seconds_left(progress, running) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (["blocked", "blocked"], "blocked"),
        (["ready", "blocked"], "ready"),
        (["running", "ready"], "running"),
        (["done", "ready"], "running"),
        (["done", "done"], "done"),
        (["done", "failed"], "failed"),
        (["cancelled", "done"], "cancelled"),
        (["failed", "cancelled"], "failed"),
        ([], "blocked"),
    ],
)
def test_state_of_a_stage(chunks: list[StepState], expected: StepState) -> None:
    assert stage_state(chunks) == expected
