"""A proxy before a TCP server whose connections can fall silent: open on both sides, and nothing passes any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.servers.proxy import BLOCK, Proxy, hang_up, start


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = (client, server)
        self.silent = False
        self.closed = False
        self.swallowed = 0

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BLOCK):
                if self.silent:
                    self.swallowed += len(data)
                else:
                    target.sendall(data)
        if not self.silent:  # Of the end of a silent one the other side hears nothing, as after a cut cable.
            self.close()

    def close(self) -> None:
        self.closed = True
        hang_up(*self.ends)


class HalfOpenProxy(Proxy):
    """`silence()` cuts all connections of the moment in this way; later ones work."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self._connections: list[_Connection] = []
        self._changing = threading.Lock()
        self.accepted = 0

    def join(self, client: socket.socket, server: socket.socket) -> None:
        connection = _Connection(client, server)
        with self._changing:
            self._connections.append(connection)
            self.accepted += 1
        for ends in ((client, server), (server, client)):
            start(connection.pump, *ends)

    def silence(self) -> int:
        """How many open connections are silent from now on."""
        with self._changing:
            fresh = [connection for connection in self._connections if not (connection.silent or connection.closed)]
            for connection in fresh:
                connection.silent = True
        return len(fresh)

    @property
    def open_connections(self) -> int:
        """Those through which something passes."""
        with self._changing:
            return sum(not (connection.silent or connection.closed) for connection in self._connections)

    @property
    def swallowed(self) -> int:
        """Bytes that reached the proxy on silent connections and went no further."""
        with self._changing:
            return sum(connection.swallowed for connection in self._connections)

    def close(self) -> None:
        super().close()
        for connection in self._connections:
            connection.close()


@contextmanager
def half_open_proxy(port: int) -> Iterator[HalfOpenProxy]:
    with HalfOpenProxy(port).running() as proxy:
        yield proxy
