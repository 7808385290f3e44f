"""Telling workers what there is to do, without a client waiting for it.

What is to be told stands in the outbox, committed with the job; the sweeper tells it too. So nothing is lost with this
thread, and in a storm of submissions it may fall behind: any hint leads a worker to the best step of its queue.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

_AT_ONCE = 50
_SHARE = 0.05
"""Of the time of one thread: the rest is for requests."""
_SHORTEST_PAUSE = 0.02


class Announcer:
    """Call it after each commit; `send(most)` sends up to so many hints, never fails, and returns how many it sent."""

    def __init__(self, send: Callable[[int], int]) -> None:
        self._send = send
        self._asked = threading.Event()
        self._starting = threading.Lock()
        self._process: int | None = None

    def __call__(self) -> None:
        self._asked.set()
        if self._process != os.getpid():  # A thread does not survive a fork.
            with self._starting:
                if self._process != os.getpid():
                    threading.Thread(target=self._run, name="announcer", daemon=True).start()
                    self._process = os.getpid()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            begun = time.monotonic()
            if self._send(_AT_ONCE) >= _AT_ONCE:
                self._asked.set()
            time.sleep(max(_SHORTEST_PAUSE, (time.monotonic() - begun) * (1 / _SHARE - 1)))
