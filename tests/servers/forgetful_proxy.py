"""A proxy before an HTTP server that can lose answers: the server has acted, the client never hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.servers.proxy import BLOCK, Proxy, hang_up, start

Passes = Callable[[bytes], bool]


class ForgetfulProxy(Proxy):
    """`lose(b"PUT /")` closes the connection on the next answer to a request that begins so."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        super().__init__(parts.hostname or "", parts.port or 80)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._to_lose: list[bytes] = []
        self.lost = 0

    def lose(self, beginning: bytes) -> None:
        self._to_lose.append(beginning)

    def join(self, client: socket.socket, server: socket.socket) -> None:
        doomed = threading.Event()
        start(_pump, client, server, self._judge(doomed))
        start(_pump, server, client, self._drop_if(doomed))

    def _judge(self, doomed: threading.Event) -> Passes:
        def judge(data: bytes) -> bool:
            for beginning in self._to_lose:
                if data.startswith(beginning):
                    self._to_lose.remove(beginning)
                    doomed.set()
                    break
            return True

        return judge

    def _drop_if(self, doomed: threading.Event) -> Passes:
        def passes(data: bytes) -> bool:
            interim = data.startswith(b"HTTP/1.1 100")
            if doomed.is_set() and not interim:
                self.lost += 1
                return False
            return True

        return passes


def _pump(source: socket.socket, target: socket.socket, passes: Passes) -> None:
    with suppress(OSError):
        while (data := source.recv(BLOCK)) and passes(data):
            target.sendall(data)
    hang_up(source, target)


@contextmanager
def forgetful_proxy(endpoint: str) -> Iterator[ForgetfulProxy]:
    with ForgetfulProxy(endpoint).running() as proxy:
        yield proxy
