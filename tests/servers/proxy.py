"""The frame of a proxy before a TCP server: it listens on loopback, and joins each client to the server."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

BLOCK = 1 << 16
_CONNECT_SECONDS = 5


class Proxy(ABC):
    """`join` says what passes between the two ends; it returns at once."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    @abstractmethod
    def join(self, client: socket.socket, server: socket.socket) -> None: ...

    @contextmanager
    def running(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.close()
            thread.join(5)

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(self._server, timeout=_CONNECT_SECONDS)
                    server.settimeout(None)
                except OSError:
                    client.close()
                    continue
                self.join(client, server)


def start(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
