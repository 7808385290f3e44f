"""Waiting for what comes true on a busy machine: on the condition itself, with a deadline that only a fault reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LONG = 120.0
"""Seconds. Ample for anything that takes a moment."""


def eventually(ask: Callable[[], T], seconds: float = LONG, about: Callable[[], object] = lambda: "") -> T:
    """The first true answer; `about` says what to show when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"it did not come true in {seconds:g} s: {answer!r} {about()}"
        time.sleep(0.05)
    return answer
