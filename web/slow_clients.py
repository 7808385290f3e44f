"""Clients who send a request's body a byte now and then: each byte comes in time, and the body never."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RD, socket

from flask import request

BODY_SECONDS = 20.0
"""For a body that is no file."""

_LOOK_SECONDS = 1.0


class _Watch:
    """One thread that looks at all connections of the process from which a body is read."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[socket, Callable[[], bool]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, connection: socket, is_late: Callable[[], bool]) -> Iterator[None]:
        with self._lock:
            self._watched[id(connection)] = (connection, is_late)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="slow-clients", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._watched[id(connection)]

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                for connection, is_late in self._watched.values():
                    if is_late():
                        with suppress(OSError):
                            connection.shutdown(SHUT_RD)


_watch = _Watch()


@contextmanager
def watched(is_late: Callable[[], bool]) -> Iterator[None]:
    """End the reading of the current request's body once it `is_late`: as if the client had gone."""
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket):
        yield
        return
    with _watch.over(connection, is_late):
        yield


@contextmanager
def in_time(seconds: float = BODY_SECONDS) -> Iterator[None]:
    """For reading a whole body."""
    end = time.monotonic() + seconds
    with watched(lambda: time.monotonic() > end):
        yield
