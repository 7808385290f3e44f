from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshroom_tasks.callbacks import NextStep, Outcome, check_schedule, next_attempt
from meshroom_tasks.settings import Settings

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEDULE = (0.0, 5.0, 30.0, 300.0)

SILENCE = Outcome(None, "it refused the connection", 0.1)
TIMEOUT = Outcome(None, "no complete answer within 20 s", 20.0, timed_out=True)


def answer(status: int, retry_after: float | None = None) -> Outcome:
    error = None if 200 <= status < 300 else f"the receiver answered {status}"
    return Outcome(status, error, 0.1, retry_after=retry_after)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_2xx_is_success(status: int) -> None:
    assert next_attempt(SCHEDULE, 1, answer(status), NOW, 0.0) == NextStep("succeeded")


def test_410_disables() -> None:
    assert next_attempt(SCHEDULE, 1, answer(410), NOW, 0.0) == NextStep("disabled")


@pytest.mark.parametrize(
    ("attempt", "outcome", "jitter", "seconds"),
    [
        (1, answer(500), 0.0, 5.0),
        (2, answer(500), 0.0, 30.0),
        (3, answer(500), 0.0, 300.0),
        (1, answer(301), 0.0, 5.0),
        (1, answer(400), 0.0, 5.0),
        (1, answer(404), 0.0, 5.0),
        (1, SILENCE, 0.0, 5.0),
        (3, SILENCE, 1.0, 360.0),
        (3, SILENCE, -1.0, 240.0),
        (3, SILENCE, 0.5, 330.0),
        (1, TIMEOUT, 0.0, 60.0),
        (1, TIMEOUT, -1.0, 60.0),
        (3, TIMEOUT, 0.0, 300.0),
        (1, answer(429), 0.0, 60.0),
        (3, answer(429), 1.0, 360.0),
        (2, answer(503, 45.0), 0.0, 45.0),
        (2, answer(503, 45.0), 1.0, 45.0),
        (2, answer(503, 1.0), -1.0, 30.0),
        (2, answer(503, 0.0), 0.0, 30.0),
        (2, answer(503, 86400.0), 0.0, 60.0),
        (3, answer(429, 86400.0), 0.0, 600.0),
        (1, answer(429, 3.0), 0.0, 60.0),
    ],
)
def test_when_the_next_attempt_is_due(attempt: int, outcome: Outcome, jitter: float, seconds: float) -> None:
    step = next_attempt(SCHEDULE, attempt, outcome, NOW, jitter)
    assert step.status == "pending"
    assert step.at is not None
    assert (step.at - NOW).total_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize("attempt", [4, 5, 100])
@pytest.mark.parametrize("outcome", [answer(500), answer(429, 60.0), TIMEOUT, SILENCE])
def test_after_the_last_attempt_it_gives_up(attempt: int, outcome: Outcome) -> None:
    assert next_attempt(SCHEDULE, attempt, outcome, NOW, 0.0) == NextStep("failed")


@given(
    attempt=st.integers(1, 10),
    status=st.none() | st.integers(100, 599),
    retry_after=st.none() | st.floats(0, 1e9),
    timed_out=st.booleans(),
    jitter=st.floats(-1, 1),
)
def test_waits_stay_within_bounds(
    attempt: int, status: int | None, retry_after: float | None, timed_out: bool, jitter: float
) -> None:
    schedule = check_schedule(Settings().callback_schedule)
    step = next_attempt(schedule, attempt, Outcome(status, "x", 0.1, "", retry_after, timed_out), NOW, jitter)
    assert (step.at is not None) == (step.status == "pending")
    if step.at is not None:
        delay = schedule[attempt]
        assert 0.8 * delay - 1e-6 <= (step.at - NOW).total_seconds() <= max(60.0, 2 * delay)


def test_the_default_schedule_lasts_more_than_a_day() -> None:
    schedule = check_schedule(Settings().callback_schedule)
    assert len(schedule) == 9
    assert sum(schedule) > 86400


@pytest.mark.parametrize("values", [(), ("",), ("x",), ("-1",), ("nan",), ("inf",), ("0", "1e9")])
def test_bad_schedules(values: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="CALLBACK_SCHEDULE"):
        check_schedule(values)
