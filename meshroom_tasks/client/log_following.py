"""Reading a log while it is written: nothing is read twice or missed, however often the connection breaks."""

from __future__ import annotations

import time
from collections.abc import Iterator

from meshroom_tasks.client.connection import Connection, Passing, passing_failures, retried
from meshroom_tasks.client.events import ServerEvent, events_of

_PAUSE = 1.0


def follow_log(connection: Connection, path: str, chunk: int) -> Iterator[bytes]:
    """Whole lines, as they come, until nothing more will come. Raises RequestProblem and ServiceUnreachable."""
    position = ""
    while True:
        before = position
        for event in _events(connection, path, chunk, position):
            position = event.id or position
            if event.name == "end":
                return
            if event.name == "lines":
                yield "".join(f"{line}\n" for line in event.data).encode()
        if position == before:
            time.sleep(_PAUSE)


def _events(connection: Connection, path: str, chunk: int, position: str) -> Iterator[ServerEvent]:
    """Until the stream ends or breaks, which costs nothing: what is asked for next begins behind what has come."""
    headers = {"Last-Event-ID": position} if position else {}
    parameters = {"chunk": chunk, "follow": "true"}
    answer = retried(lambda: connection.open("GET", path, params=parameters, headers=headers))
    try:
        with answer, passing_failures(path):
            yield from events_of(answer.iter_lines())
    except Passing:
        return
