"""Whoever asks whether the service is ready costs its parts next to nothing, however often they ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.web.conftest import Site
from web.readiness import Checkups
from web.services import install


class Part:
    """A part that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.broken = False

    def check(self) -> None:
        self.asked += 1
        if self.broken:
            raise RuntimeError("broken")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_outcome_stands_for_its_time_and_a_bad_one_for_less() -> None:
    clock, part = Clock(), Part()
    checkups = Checkups(clock)

    def outcome_at(seconds: float) -> str:
        clock.now = 100.0 + seconds
        return checkups.outcome("part", part.check, 10.0)

    assert [outcome_at(0), outcome_at(9.9), part.asked] == ["ok", "ok", 1]
    part.broken = True
    assert [outcome_at(10.1), outcome_at(12), part.asked] == ["unavailable", "unavailable", 2]
    part.broken = False
    assert [outcome_at(12.2), part.asked] == ["ok", 3]
    assert checkups.outcome("other", part.check, 10.0) == "ok"
    assert part.asked == 4


def test_of_many_who_ask_at_once_one_looks() -> None:
    checkups, part, everybody = Checkups(), Part(), threading.Barrier(16)

    def ask(_: int) -> str:
        everybody.wait(30)
        return checkups.outcome("part", part.check, 600.0)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(16))) == {"ok"}
    assert part.asked == 1


def test_anonymous_callers_do_not_write_to_the_storage_each_time(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, storage, broker = make_site(), Part(), Part()
    monkeypatch.setattr(site.storage, "check", storage.check)
    install(site.app, replace(site.parts, checkups=Checkups(Clock()), check_broker=broker.check))
    visitor = site.visitor()
    for _ in range(50):
        assert visitor.get("/readyz").get_json(force=True)["checks"]["storage"] == "ok"
    assert (storage.asked, broker.asked) == (1, 1)
