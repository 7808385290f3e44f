"""What was found moments ago, for those who ask again at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_MOST = 500


class Recent:
    """A memory of one process. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: dict[Hashable, tuple[Hashable, float, Any]] = {}
        self._clock = clock

    def get(self, name: Hashable, stamp: Hashable, seconds: float, find: Callable[[], T]) -> T:
        """What `find` brought when it was asked last, unless that is so many seconds ago, or had another `stamp`."""
        known, now = self._known.get(name), self._clock()
        if known is not None and known[0] == stamp and now - known[1] < seconds:
            found: T = known[2]
            return found
        found = find()
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[name] = (stamp, now, found)
        return found
