"""docs/failures.md names every code, and says how each is retried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from meshroom_tasks import errors, stops
from meshroom_tasks.errors import ServiceError
from meshroom_tasks.retry_policies import Retry

PAGE = (Path(__file__).parents[1] / "docs" / "failures.md").read_text()
ROWS = {row[1]: row[2] for row in re.finditer(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE)}


def kinds(base: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


KNOWN = {kind.code: kind for kind in kinds(ServiceError) if kind.__module__ in (errors.__name__, stops.__name__)}


def in_words(retry: Retry) -> str:
    """`2 times, after 1 s and 10 s, on another worker`."""
    if retry.attempts == 1:
        return "no"
    waits = [f"{retry.delay_after(attempt):g} s" for attempt in range(1, retry.attempts)]
    after = " and ".join(filter(None, (", ".join(waits[:-1]), waits[-1])))
    often = "once" if retry.attempts == 2 else f"{retry.attempts - 1} times"
    return f"{often}, after {after}" + (f", on another {retry.elsewhere}" if retry.elsewhere else "")


def test_every_code_stands_on_the_page() -> None:
    assert sorted(KNOWN.keys() - ROWS.keys()) == [], "add a row to docs/failures.md"
    assert sorted(ROWS.keys() - KNOWN.keys()) == [], "there is no such code any more"


def test_the_page_says_how_each_is_retried() -> None:
    wrong = {
        code: (ROWS[code], in_words(kind.retry))
        for code, kind in KNOWN.items()
        if code in ROWS and re.split(r"[:;]", ROWS[code])[0] != in_words(kind.retry)
    }
    assert wrong == {}, "code: (what the page says, what holds)"
