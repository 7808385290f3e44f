from __future__ import annotations

import itertools
from typing import get_args

import pytest

from meshroom_tasks.jobs.records import StepState
from meshroom_tasks.jobs.states import StepEvent, downstream_of, sources, stages_to_open, target

ALLOWED = {
    ("blocked", "open"): "ready",
    ("blocked", "cancel"): "cancelled",
    ("ready", "claim"): "running",
    ("ready", "cancel"): "cancelled",
    ("running", "finish"): "done",
    ("running", "retry"): "ready",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
    ("blocked", "reset"): "blocked",
    ("ready", "reset"): "blocked",
    ("done", "reset"): "blocked",
    ("failed", "reset"): "blocked",
    ("cancelled", "reset"): "blocked",
    ("running", "give_up"): "blocked",
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(get_args(StepState), StepEvent)))
def test_every_pair_of_state_and_event(state: StepState, event: StepEvent) -> None:
    expected = ALLOWED.get((state, str(event)))
    assert (state in sources(event)) == (expected is not None)
    assert expected in (None, target(event))


DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["d"]}


@pytest.mark.parametrize(
    ("unfinished", "blocked", "expected"),
    [
        ("abcde", "abcde", ("a",)),
        ("bcde", "bcde", ("b", "c")),
        ("bcde", "cde", ("c",)),
        ("cde", "de", ()),
        ("de", "de", ("d",)),
        ("de", "e", ()),
        ("e", "e", ("e",)),
        ("", "", ()),
    ],
)
def test_stages_open_when_all_they_read_is_finished(unfinished: str, blocked: str, expected: tuple[str, ...]) -> None:
    assert stages_to_open(DIAMOND, unfinished, blocked) == expected


@pytest.mark.parametrize(("first", "expected"), [("a", "abcde"), ("b", "bde"), ("d", "de"), ("e", "e")])
def test_what_follows_from_a_stage(first: str, expected: str) -> None:
    assert downstream_of(first, DIAMOND) == set(expected)
