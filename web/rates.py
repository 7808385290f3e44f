"""How often somebody may do something in a minute, counted in this process over a moving window."""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter


class Rate:
    """`a_minute` times each minute for everyone; 0: no limit."""

    def __init__(self, a_minute: int) -> None:
        self._item = RateLimitItemPerMinute(a_minute) if a_minute else None
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def count(self, who: str) -> int:
        """Take note of one time more. 0 if that was within the limit; else it did not count, and this is `wait`."""
        if self._item is None or self._window.hit(self._item, who):
            return 0
        return self._seconds_until_free(self._item, who)

    def wait(self, who: str) -> int:
        """Whole seconds until the next time would be within the limit; 0: now."""
        if self._item is None or self._window.test(self._item, who):
            return 0
        return self._seconds_until_free(self._item, who)

    def _seconds_until_free(self, item: RateLimitItemPerMinute, who: str) -> int:
        return max(1, math.ceil(self._window.get_window_stats(item, who).reset_time - time.time()))


def neighbourhood(address: str | None) -> str:
    """The address by which a client is counted: with IPv6 the /64 network, which is one customer's."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if found.version == 6:
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)
