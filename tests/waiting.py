"""Waiting for what comes true on a busy machine: on the condition itself, with a deadline that only a fault reaches."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
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


def freeze(pid: int) -> None:
    """Stop a process and return when none of its threads runs any longer: SIGSTOP alone is a request."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: set(_thread_states(pid)) == {"T"})


def _thread_states(pid: int) -> list[str]:
    """The letter of each thread, see proc(5); a thread that has just ended has none."""
    states = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(stat.read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue
    return states
