"""Server-sent events (WHATWG HTML, section 9.2): a few requests that stay open, and never take every thread."""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from socket import MSG_DONTWAIT, MSG_PEEK, socket
from typing import Any

from flask import Response, request

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.retry_policies import NEVER
from web.slots import Slots, until_closed

MEDIA_TYPE = "text/event-stream"

POLL_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 15.0
_LONGEST_SECONDS = 900.0
"""After this a stream ends; browsers come back by themselves, and get what they missed."""
_RETRY_MILLISECONDS = 2000
_PATIENCE_SECONDS = 3.0
"""A stream whose client has gone is over within this time; then there is room for another."""

Poll = Callable[[], "list[Event] | None"]
"""What is new since the last call; None when there will be nothing more."""


class TooManyStreams(ServiceError):
    """Every stream holds a thread of the web app."""

    code = "too_many_streams"
    retry = NEVER
    http_status = 503


@dataclass(frozen=True)
class Event:
    """`data` is sent as JSON; `id` comes back as `Last-Event-ID` when the client reconnects."""

    name: str
    data: Any
    id: str = ""

    def encoded(self) -> bytes:
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.name}\ndata: {json.dumps(self.data, ensure_ascii=False)}\n\n".encode()


class Streams:
    """The open streams of one process. `close` ends them all, so that the process can stop."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._slots = Slots(most, most_of_one)
        self._closing = threading.Event()

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        self._closing.set()

    def open(self, poll: Poll, tenant: str, *, pause: float = POLL_SECONDS) -> Response:
        """Send what `poll` brings, asked again after each `pause`, until it says that this was all.

        Raises TooManyStreams.

        The first round is made here, so that its errors are answers like any other.
        """
        give_back = self._slots.take(tenant, patience=_PATIENCE_SECONDS)
        if give_back is None:
            raise TooManyStreams("too many event streams are open; try again soon, or ask for the job instead")
        try:
            first = poll()
        except BaseException:
            give_back()
            raise
        is_gone = _gone(request.environ.get("gunicorn.socket"))
        response = Response(self._send(first, poll, pause, is_gone), content_type=MEDIA_TYPE)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return until_closed(response, give_back)

    def _send(
        self, events: list[Event] | None, poll: Poll, pause: float, is_gone: Callable[[], bool]
    ) -> Iterator[bytes]:
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        ends_at = time.monotonic() + _LONGEST_SECONDS
        quiet_until = time.monotonic() + _KEEP_ALIVE_SECONDS
        while events is not None and time.monotonic() < ends_at:
            if events or time.monotonic() > quiet_until:
                yield b"".join(event.encoded() for event in events) or b": still here\n\n"
                quiet_until = time.monotonic() + _KEEP_ALIVE_SECONDS
            if self._closing.wait(pause) or is_gone():
                return
            try:
                events = poll()
            except ServiceError as error:
                yield Event("problem", {"code": error.code, "detail": error.message}).encoded()
                return


def _gone(connection: object) -> Callable[[], bool]:
    """Whether the client has closed its end; writing to it would show that only with the second keep-alive."""

    if not isinstance(connection, socket):
        return lambda: False
    readable = select.poll()
    readable.register(connection, select.POLLIN)

    def is_gone() -> bool:
        try:
            if not readable.poll(0):  # A socket with a time-out would wait for it in `recv`, whatever the flags say.
                return False
            return connection.recv(1, MSG_PEEK | MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    return is_gone
