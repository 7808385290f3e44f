"""Following log files while they are written."""

from __future__ import annotations

import re
from pathlib import Path

MAX_LINE = 4000
"""Longer lines are cut: a log is read by people."""
_READ_AT_ONCE = 1 << 20
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class Tail:
    """The lines of a file that grows, each given once and only when it is whole. The file may appear late."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def lines(self) -> list[str]:
        """The lines completed since the last call."""
        found: list[str] = []
        while block := self._read():
            *whole, self._rest = (self._rest + block).split(b"\n")
            found += [_clean(line) for line in whole]
            if len(self._rest) > MAX_LINE:
                found.append(_clean(self._rest))
                self._rest = b""
        return found

    def finish(self) -> list[str]:
        """All that is left, a last line without an end included."""
        found = self.lines()
        if self._rest:
            found.append(_clean(self._rest))
            self._rest = b""
        return found

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read(_READ_AT_ONCE)
        except OSError:
            return b""
        self._offset += len(block)
        return block


def _clean(line: bytes) -> str:
    """Text without colours and control characters; of a line that was overwritten in place the last state."""
    last = line.rstrip(b"\r").rpartition(b"\r")[2]
    return _ESCAPES.sub("", last.decode(errors="replace"))[:MAX_LINE]
