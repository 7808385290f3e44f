"""A proxy before an HTTP server that can lose answers: the server has acted, the client never hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_BLOCK = 1 << 16

Passes = Callable[[bytes], bool]


class ForgetfulProxy:
    """`lose(b"PUT /")` closes the connection on the next answer to a request that begins so."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._server = (parts.hostname or "", parts.port or 80)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._to_lose: list[bytes] = []
        self.lost = 0

    def lose(self, beginning: bytes) -> None:
        self._to_lose.append(beginning)

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                doomed = threading.Event()
                for part in ((client, server, self._judge(doomed)), (server, client, self._drop_if(doomed))):
                    threading.Thread(target=_pump, args=part, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

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
        while (data := source.recv(_BLOCK)) and passes(data):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def forgetful_proxy(endpoint: str) -> Iterator[ForgetfulProxy]:
    proxy = ForgetfulProxy(endpoint)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)
