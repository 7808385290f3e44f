"""A proxy before a TCP server whose connections can fall silent: open on both sides, and nothing passes any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BLOCK = 1 << 16


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = (client, server)
        self.silent = False
        self.closed = False
        self.swallowed = 0

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_BLOCK):
                if self.silent:
                    self.swallowed += len(data)
                else:
                    target.sendall(data)
        if not self.silent:  # Of the end of a silent one the other side hears nothing, as after a cut cable.
            self.close()

    def close(self) -> None:
        self.closed = True
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class HalfOpenProxy:
    """`silence()` cuts all connections of the moment in this way; later ones work."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._connections: list[_Connection] = []
        self._changing = threading.Lock()
        self.accepted = 0

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(self._server, timeout=5)
                    server.settimeout(None)
                except OSError:
                    client.close()
                    continue
                connection = _Connection(client, server)
                with self._changing:
                    self._connections.append(connection)
                    self.accepted += 1
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=connection.pump, args=ends, daemon=True).start()

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
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._connections:
            connection.close()


@contextmanager
def half_open_proxy(port: int) -> Iterator[HalfOpenProxy]:
    proxy = HalfOpenProxy(port)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)
