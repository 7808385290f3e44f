"""Pages without signing in, for a service that somebody runs for themselves on their own machine.

Only `make up` asks for it, and only where nobody said anything about keys, addresses or proxies. A request gets in when
it comes from this machine, names this machine as its host (a page elsewhere whose name was made to lead here names
itself), and bears no trace of a proxy. What pages of other origins may do is the business of sessions.py.
"""

from __future__ import annotations

import ipaddress

from flask import request

from meshroom_tasks.settings import Settings

_TRACES_OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class OpenMode:
    def __init__(self, settings: Settings) -> None:
        own = is_loopback(settings.bind) and not settings.public_url and not settings.proxy_hops
        self._is_wanted = settings.pages_open and own
        port = f":{settings.port}" if settings.port != 80 else ""
        self._hosts = frozenset(f"{name}{port}" for name in ("127.0.0.1", "localhost", "[::1]"))

    def lets_in(self) -> bool:
        """Whether the current request needs no key."""
        return (
            self._is_wanted
            and is_loopback(request.remote_addr or "")
            and request.host in self._hosts
            and not any(name in request.headers for name in _TRACES_OF_PROXIES)
        )


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
