"""The Markdown pages of the project, and what they show: code blocks with their marks, links, headings.

A block that somebody could run has a mark in the line before it, which no reader sees:

    <!-- run: tests/client/test_docs.py -->        that test gets the block by `blocks_run_by`, and runs it
    <!-- not run: needs a GPU -->                  nobody does, for this reason
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from meshroom_tasks.settings import PROJECT

RUNNABLE = frozenset({"sh", "bash", "console", "shell", "python", "py", "javascript", "js", ""})
_MARK = re.compile(r"<!-- (run|not run): (.+?) -->\s*")
_FOLDERS = ("", "docs", "benchmarks")


@dataclass(frozen=True)
class Block:
    """`line` counts from 1. `run_by`: a test; `not_run`: why there is none."""

    page: str
    line: int
    language: str
    code: str
    run_by: str | None = None
    not_run: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> tuple[str, ...]:
    """Paths below the project's folder."""
    return tuple(
        str(path.relative_to(PROJECT)) for folder in _FOLDERS for path in sorted((PROJECT / folder).glob("*.md"))
    )


@lru_cache
def tokens(page: str) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse((PROJECT / page).read_text()))


@lru_cache
def blocks(page: str) -> tuple[Block, ...]:
    return tuple(_blocks(page))


def _blocks(page: str) -> Iterator[Block]:
    for before, token in pairwise((Token("", "", 0), *tokens(page))):
        if token.type not in ("fence", "code_block"):
            continue
        assert token.map is not None
        mark = _MARK.fullmatch(before.content) if before.type == "html_block" else None
        kind, value = (mark[1], mark[2]) if mark else (None, None)
        yield Block(
            page,
            token.map[0] + 1,
            token.info.strip(),
            token.content,
            run_by=value if kind == "run" else None,
            not_run=value if kind == "not run" else None,
        )


def blocks_run_by(test: str, page: str, language: str | None = None) -> list[str]:
    """The code of all blocks of `page` that are marked as run by `test` (its `__file__`), in their order."""
    name = str(Path(test).relative_to(PROJECT))
    found = [block for block in blocks(page) if block.run_by == name and language in (None, block.language)]
    assert found, f"no block of {page} is marked with <!-- run: {name} -->"
    return [block.code for block in found]


def inline(page: str) -> Iterator[Token]:
    """Every token within paragraphs, headings and cells."""
    for token in tokens(page):
        yield from token.children or ()


def anchors(page: str) -> set[str]:
    """The names of its headings in links, as forges make them."""
    found: set[str] = set()
    for heading, content in pairwise(tokens(page)):
        if heading.type == "heading_open":
            text = "".join(child.content for child in content.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
            number = sum(1 for other in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", other))
            found.add(f"{name}-{number}" if number else name)
    return found
