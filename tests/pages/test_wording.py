from __future__ import annotations

import pytest

from web.pages import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert wording.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 bytes"), (812, "812 bytes"), (4_812_345, "4.8 MB"), (31_000_000_000, "31 GB"), (999_999, "1.0 MB")],
)
def test_sizes(value: int, text: str) -> None:
    assert wording.size(value) == text


def test_the_lines_of_a_log_that_matter() -> None:
    tail = ("reading", "[fatal] out of memory", "Traceback (most recent call last):")
    assert [bad for _, bad in wording.cause_lines(tail)] == [False, True, True]


def test_stages_go_by_their_names() -> None:
    assert [wording.stage_title(name) for name in ("ingest", "DepthMap_1", "DepthMap_2")] == [
        "Fetch the photos",
        "DepthMap",
        "DepthMap 2",
    ]
