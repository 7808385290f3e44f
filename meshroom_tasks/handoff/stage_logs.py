"""Where the logs of steps are kept in the object store, and how one says that its beginning was cut."""

from __future__ import annotations

import re

LONGEST_MARK = 64
"""Bytes: so many of a stored log's beginning show whether it was cut."""
_MARK = re.compile(rb"\[\.\.\. (\d{1,15}) bytes were cut \.\.\.\]\n")


def log_key(job_id: str, stage: str, chunk: int) -> str:
    return f"jobs/{job_id}/logs/{stage}/{chunk}.log"


def cut_mark(count: int) -> bytes:
    """The first line of a log of which `count` bytes are not kept; nothing where all are."""
    return b"[... %d bytes were cut ...]\n" % count if count else b""


def cut_of(head: bytes) -> tuple[int, int]:
    """From the first bytes of a stored log: how many bytes are cut before it, and how long the line is that says so."""
    found = _MARK.match(head)
    return (int(found[1]), found.end()) if found else (0, 0)
