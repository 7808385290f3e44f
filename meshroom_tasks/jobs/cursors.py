"""Positions in a list of jobs, newest first. Pure.

A position is a moment and an id, and need not be that of a job: so it stays valid while jobs come and go.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from meshroom_tasks.errors import RequestRefused

PATTERN = "^[0-9]{1,16}_[A-Za-z0-9-]{1,64}$"
"""What every cursor matches; and whatever matches is a cursor."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WHOLE = re.compile(PATTERN.removesuffix("$") + r"\Z")


def write_cursor(created_at: datetime, job_id: str) -> str:
    return f"{(created_at - _EPOCH) // _MICROSECOND}_{job_id}"


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """`created_at` and id of the job behind which the list goes on. Raises RequestRefused."""
    if not _WHOLE.match(cursor):
        raise RequestRefused("the cursor is not one that this service gave out; leave it out to begin anew")
    microseconds, _, job_id = cursor.partition("_")
    return _EPOCH + int(microseconds) * _MICROSECOND, job_id
