"""Following a log while it is written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from meshroom_tasks.handoff.stage_logs import LONGEST_MARK, cut_mark, cut_of
from meshroom_tasks.storage import Storage
from web.event_stream import Event

_MOST_BYTES = 1 << 20


class LogFollower:
    """From a position in a log that grows to events with whole lines; the id of each is the position behind it.

    Positions count from the first byte that was ever written, also where a long log has lost its beginning since: a
    reader who is behind that is told so in a line of its own. A log that is shorter than the position was begun anew:
    `restart` tells the reader, and it comes from its beginning. `end`: nothing more will come.
    """

    def __init__(self, storage: Storage, key: str, position: int, is_finished: Callable[[], bool]) -> None:
        self._storage = storage
        self._key = key
        self._position = position
        self._is_finished = is_finished
        self._has_ended = False

    def poll(self) -> list[Event] | None:
        if self._has_ended:
            return None
        finished = self._is_finished()  # Asked first: what is stored after this answer belongs to the next round.
        events = self._news(to_the_end=finished)
        if finished and not events:
            self._has_ended = True
            events = [Event("end", {}, id=str(self._position))]
        return events

    def _news(self, *, to_the_end: bool) -> list[Event]:
        if self._storage.stat(self._key) is None:
            return []
        cut, end, data = self._stored_since(self._position)
        events, said = [], b""
        if end < self._position:
            events.append(Event("restart", {}, id=str(cut)))
            self._position = cut
        elif self._position < cut:
            said = cut_mark(cut - self._position)
            self._position = cut
        whole = data.rfind(b"\n") + 1
        if whole == 0 and (to_the_end or len(data) == _MOST_BYTES):
            whole = len(data)
        self._position += whole
        lines = (said + data[:whole]).decode(errors="replace").splitlines()
        return [*events, Event("lines", lines, id=str(self._position))] if lines else events

    def _stored_since(self, position: int) -> tuple[int, int, bytes]:
        """Where the kept part of the log begins and ends, and bytes of it: from `position`, else from its beginning."""
        while True:
            head = self._read(0, LONGEST_MARK)
            cut, mark = cut_of(head)
            stored = self._storage.stat(self._key)
            end = cut + (stored.size if stored is not None else 0) - mark
            start = position if cut <= position <= end else cut
            data = self._read(mark + start - cut, min(end - start, _MOST_BYTES))
            # Else it was cut between these looks, or was so short that its head grew.
            if self._read(0, LONGEST_MARK) == head:
                return cut, end, data

    def _read(self, start: int, length: int) -> bytes:
        if length <= 0:
            return b""
        with closing(self._storage.open(self._key, start, length)) as stream:
            return stream.read(length)
