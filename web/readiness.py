"""How the parts of the service are, for whoever asks, without asking the parts each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from meshroom_tasks.logs import logger

_log = logger(__name__)

OK = "ok"
_UNAVAILABLE = "unavailable"
_LONGEST_BAD_SECONDS = 2.0
"""What was missing is looked for again soon."""


@dataclass
class _Part:
    outcome: str = ""
    looked_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Checkups:
    """A memory of one process. `clock` counts seconds.

    Anybody may ask whether the service is ready, as often as they like: that must cost the parts next to nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._parts: dict[str, _Part] = {}

    def outcome(self, name: str, check: Callable[[], None], seconds: float) -> str:
        """As `look`; what was found is good for so many seconds.

        Of many who ask at once, one looks, and the others wait for what it finds.
        """
        part = self._parts.setdefault(name, _Part())
        with part.lock:
            good_for = seconds if part.outcome == OK else min(seconds, _LONGEST_BAD_SECONDS)
            if not part.outcome or self._clock() - part.looked_at >= good_for:
                part.outcome = look(name, check)
                part.looked_at = self._clock()
            return part.outcome


def look(name: str, check: Callable[[], None]) -> str:
    """`ok`, or `unavailable` where `check` raises."""
    try:
        check()
    except Exception as error:  # Whatever it is, the part is not usable, and the others are to be asked all the same.
        _log.warning("not ready", part=name, exc_info=error)
        return _UNAVAILABLE
    return OK
