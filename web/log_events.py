"""Following a log while it is written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from meshroom_tasks.storage import Storage
from web.event_stream import Event

_MOST_BYTES = 1 << 18


class LogFollower:
    """From a position in a log that grows to events with whole lines; the id of each is the position behind it.

    A log that became shorter was cut at its beginning: `restart` tells the reader, and it comes again from there.
    """

    def __init__(self, storage: Storage, key: str, position: int, is_finished: Callable[[], bool]) -> None:
        self._storage = storage
        self._key = key
        self._position = position
        self._is_finished = is_finished

    def poll(self) -> list[Event] | None:
        finished = self._is_finished()  # Asked first: what is stored after this answer belongs to the next round.
        stored = self._storage.stat(self._key)
        size = stored.size if stored is not None else 0
        events = []
        if size < self._position:
            self._position = 0
            events.append(Event("restart", {}, id="0"))
        lines = self._new_lines(size, to_the_end=finished)
        if lines:
            events.append(Event("lines", lines, id=str(self._position)))
        return None if finished and not events else events

    def _new_lines(self, size: int, *, to_the_end: bool) -> list[str]:
        length = min(size - self._position, _MOST_BYTES)
        if length <= 0:
            return []
        with closing(self._storage.open(self._key, self._position, length)) as stream:
            data = stream.read(length)
        whole = data.rfind(b"\n") + 1
        if whole == 0 and (to_the_end or length == _MOST_BYTES):
            whole = len(data)
        self._position += whole
        return data[:whole].decode(errors="replace").splitlines()
