from __future__ import annotations

from datetime import timedelta

import click
import pytest

from meshroom_tasks.commands.durations import Duration, spoken


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2W", timedelta(days=14)),
        ("0s", timedelta()),
    ],
)
def test_durations_are_read(text: str, span: timedelta) -> None:
    assert Duration().convert(text, None, None) == span


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7 d", "1d12h", "9999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no duration"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (None, ""),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(seconds=60), "1m"),
        (timedelta(hours=23, minutes=59), "23h"),
        (timedelta(days=15), "15d"),
        (timedelta(seconds=-3), "0s"),
    ],
)
def test_durations_are_spoken_in_the_largest_unit(span: timedelta | None, text: str) -> None:
    assert spoken(span) == text
