"""The judge of the random faults must itself be able to say no."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.chaos.audit import Move, objections, unearned

CLAIM = Move(1, 1.0, "s", "j", "chunk", "a", "w1", "ready", "running", None, "t1", 1, None)
LOST = Move(2, 2.0, "s", "j", "chunk", "a", "w1", "running", "ready", "t1", None, 1, "worker_lost")
AGAIN = Move(3, 3.0, "s", "j", "chunk", "a", "w2", "ready", "running", None, "t2", 2, "worker_lost")
DONE = Move(4, 4.0, "s", "j", "chunk", "a", "w2", "running", "done", "t2", None, 2, None)


def test_a_lost_worker_and_a_second_attempt_are_no_objection() -> None:
    assert objections([CLAIM, LOST, AGAIN, DONE]) == []


@pytest.mark.parametrize(
    ("moves", "objection"),
    [
        ([CLAIM, LOST, AGAIN, DONE, replace(DONE, number=5)], "finished twice"),
        ([CLAIM, LOST, AGAIN, replace(DONE, old_token="t1")], "does not follow"),
        ([CLAIM, LOST, replace(AGAIN, new_token="t1"), replace(DONE, old_token="t1")], "without a token of its own"),
        ([CLAIM, replace(LOST, new_token="t1")], "nobody holds has a token"),
        ([CLAIM, replace(DONE, old_token="t1"), replace(LOST, was="done", old_token=None)], "went from done to ready"),
        ([CLAIM, replace(AGAIN, was="running", old_token="t1")], "went from running to running"),
    ],
)
def test_what_fencing_forbids_is_an_objection(moves: list[Move], objection: str) -> None:
    assert any(objection in found for found in objections(moves)), objections(moves)


@pytest.mark.parametrize(
    ("done", "ended", "fair"),
    [
        (DONE, {"t2": 3.9}, True),
        (DONE, {"t1": 1.9, "t2": 3.9}, True),
        (DONE, {"t1": 3.9}, False),
        (DONE, {"t1": 3.9, "t2": 4.1}, False),
        (replace(DONE, cached=True), {}, True),
        (replace(DONE, kind="results"), {}, True),
    ],
)
def test_what_the_current_holder_has_not_computed_is_unearned(done: Move, ended: dict[str, float], fair: bool) -> None:
    assert (unearned([CLAIM, LOST, AGAIN, done], ended) == []) is fair
