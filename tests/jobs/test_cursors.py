from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from meshroom_tasks.errors import RequestRefused
from meshroom_tasks.jobs.cursors import read_cursor, write_cursor

JOB = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 23, 17, 0, 0, 123456, tzinfo=UTC),
        datetime(2026, 11, 23, 17, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2286, 11, 20, 17, 46, 39, 999999, tzinfo=UTC),
    ],
)
def test_a_cursor_keeps_every_microsecond(moment: datetime) -> None:
    assert read_cursor(write_cursor(moment, JOB)) == (moment, JOB)


@pytest.mark.parametrize("cursor", ["", "nonsense", "_", f"_{JOB}", "12_", "12_a b", "12_a\n", "١_a", f"{10**16}_a"])
def test_what_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(RequestRefused):
        read_cursor(cursor)
