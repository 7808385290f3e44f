"""What somebody is told who looks at a list of jobs: that it has changed. What it shows now is asked for as before."""

from __future__ import annotations

import time
from collections.abc import Callable

from meshroom_tasks.jobs.glances import Glance
from web.event_stream import Event

LOOK_SECONDS = 1.0
"""Nobody is told more often than this."""
TELL_SECONDS = 10.0
"""After so long without a change something is told all the same: then a silent stream is a broken one."""


class ListWatch:
    """Events `changed`, and `same` where there is nothing new; the id of each is the mark of what the list shows then.

    While something of the list is going on, what time alone changes (how long it will take, which worker has not been
    heard of) is told after `TELL_SECONDS`. `seen`: the mark of what the reader has, or "".
    """

    def __init__(self, look: Callable[[], Glance], seen: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._seen = seen
        self._clock = clock
        self._told_at: float | None = None

    def poll(self) -> list[Event]:
        glance, now = self._look(), self._clock()
        if glance.mark == self._seen and self._told_at is not None and now - self._told_at < TELL_SECONDS:
            return []
        time_went_on = glance.is_live and self._told_at is not None
        name = "changed" if glance.mark != self._seen or time_went_on else "same"
        self._seen, self._told_at = glance.mark, now
        return [Event(name, {}, id=glance.mark)]
