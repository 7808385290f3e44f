"""How often a failed stage is tried."""

from __future__ import annotations

import pytest

from meshroom_tasks import errors


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (errors.EngineError, 4),
        (errors.EngineCrashed, 4),
        (errors.PhotosWithoutOverlap, 1),
        (errors.EngineTimeout, 1),
        (errors.EngineNotFound, 5),
        (errors.HandoffIncomplete, 3),
        (errors.DiskFull, 5),
    ],
)
def test_a_stage_says_how_often_it_is_tried_when_nobody_knows_better(
    error: type[errors.ServiceError], attempts: int
) -> None:
    before = error.retry
    with pytest.raises(error) as failure, errors.tried(4):
        raise error("...")
    assert failure.value.retry.attempts == attempts
    assert error.retry == before


def test_a_stage_that_is_tried_once() -> None:
    with pytest.raises(errors.EngineCrashed) as failure, errors.tried(1):
        raise errors.EngineCrashed("...")
    assert failure.value.retry.delay_after(1) is None
