"""How often a step may be tried, and who tries it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Elsewhere = Literal["worker", "machine"]


@dataclass(frozen=True)
class Retry:
    """How often a step may be tried in all, and how long to wait in between.

    The wait before attempt n + 1 is `delays[n - 1]` seconds, the last one repeated. `elsewhere`: who may be to blame;
    the next attempt is left to other workers, or machines, for a while, if there are any.
    """

    attempts: int
    delays: tuple[float, ...] = (0.0,)
    elsewhere: Elsewhere | None = None

    def delay_after(self, attempt: int) -> float | None:
        """Seconds to wait after the failed attempt number `attempt` (from 1); None when there is no further one."""
        if attempt >= self.attempts:
            return None
        return self.delays[min(attempt, len(self.delays)) - 1]


NEVER = Retry(attempts=1)
ONCE_MORE = Retry(attempts=2, delays=(2.0,), elsewhere="worker")
PATIENTLY = Retry(attempts=5, delays=(2.0, 10.0, 30.0, 120.0), elsewhere="worker")
ON_ANOTHER_MACHINE = replace(PATIENTLY, elsewhere="machine")
