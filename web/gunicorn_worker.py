"""gunicorn's threaded worker, made patient with nobody: a slow client costs a socket, not a thread.

gunicorn hands each connection to a thread that then waits for the rest of the request, for as long as the client
likes; a few dozen half requests would keep everybody else out. Here a connection waits among the idle ones until the
whole head of its request has come, and is closed where that takes too long. Reading and writing have an end too, and
a client that does not close what we have closed is waited for among the idle ones, not by the thread that accepts.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from meshroom_tasks.logs import logger

HEAD_SECONDS = 10.0
"""From a connection's first byte, or its last answer, to the end of a request's head."""
SILENT_SECONDS = 30.0
"""Of one read from the client, and of one write to it: a block of 64 kB, so no slower than 2 kB/s."""

_DRAIN_SECONDS = 0.5
"""For the rest of a body that nobody wanted, on a connection that could then go on."""
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1 << 16
_BLOCK = 1 << 14
_LARGEST_HEAD = 1 << 16
_END_OF_HEAD = b"\r\n\r\n"

_log = logger(__name__)


class Worker(ThreadWorker):  # type: ignore[misc]
    """`worker_class` of gunicorn. `head_until` of a connection: when its head must have come, or it is closed."""

    pending_conns: deque[Any]

    def enqueue_req(self, conn: Any) -> None:
        """Answer the request if its head is there, else wait for more of it."""
        known = _received(conn)
        if known is None:
            conn.head_until = None
            conn.data_ready = True
            super().enqueue_req(conn)
            return
        conn.head_until = getattr(conn, "head_until", None) or time.monotonic() + HEAD_SECONDS
        # Readable means from now on: there is more than what we have looked at.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, known + 1)
        self._wait(conn, conn.head_until, self.on_pending_socket_readable)

    def finish_request(self, conn: Any, future: Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None or future.result():
            super().finish_request(conn, future)
            return
        try:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.left_to_drain = _LINGER_BYTES
        self._wait(conn, time.monotonic() + _LINGER_SECONDS, self._drain)

    def _wait(self, conn: Any, until: float, then: Callable[[Any, Any], None]) -> None:
        conn.timeout = until
        conn.sock.setblocking(False)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(then, conn))

    def _drain(self, conn: Any, client: Any) -> None:
        """What still comes is thrown away until the client closes: a reset would take our answer from it."""
        try:
            data = conn.sock.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.left_to_drain -= len(data)
        if data and conn.left_to_drain > 0:
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        return bool(keepalive and conn.parser.finish_body(deadline=time.monotonic() + _DRAIN_SECONDS))

    def murder_pending(self) -> None:
        self.pending_conns = deque(sorted(self.pending_conns, key=lambda conn: conn.timeout))
        super().murder_pending()

    def handle_request(self, req: Any, conn: Any) -> bool:
        conn.sock.settimeout(SILENT_SECONDS)
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            _log.info("a client was too slow", client=conn.client[0], path=req.path)
            return False


def _received(conn: Any) -> int | None:
    """How many bytes wait in the socket of a request whose head has not come whole; None: read it."""
    before = conn.parser.unreader.buf.getvalue() if conn.parser is not None else b""
    conn.sock.setblocking(False)
    try:
        waiting = conn.sock.recv(_LARGEST_HEAD, socket.MSG_PEEK)
    except BlockingIOError:
        return None if _END_OF_HEAD in before else 0
    except OSError:
        return None  # Whoever reads it is told.
    is_over = not waiting or len(before) + len(waiting) >= _LARGEST_HEAD
    return None if is_over or _END_OF_HEAD in before + waiting else len(waiting)
