"""Every page: links and anchors lead somewhere, files it names exist, every command is run or says why not."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest

from meshroom_tasks.settings import PROJECT
from tests.documents import RUNNABLE, Block, anchors, blocks, inline, pages

EVERY = [block for page in pages() for block in blocks(page)]


@lru_cache
def tracked() -> frozenset[str]:
    """Files of the project and their folders: what Git knows of, else what is there."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=PROJECT, capture_output=True, text=True
    )
    names = found.stdout.split("\n") if found.returncode == 0 else map(str, PROJECT.rglob("*"))
    paths = {PurePosixPath(name).relative_to(PROJECT if name.startswith("/") else ".") for name in names if name}
    return frozenset(str(each) for path in paths for each in (path, *path.parents))


def links(page: str) -> Iterator[str]:
    for token in inline(page):
        if (found := token.attrs.get("href", token.attrs.get("src"))) is not None:
            yield str(found)


@pytest.mark.parametrize("page", pages())
def test_links(page: str) -> None:
    broken = []
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        path = (PROJECT / page).parent / unquote(parts.path) if parts.path else PROJECT / page
        name = str(path.resolve().relative_to(PROJECT))
        if name not in tracked() or (parts.fragment and parts.fragment not in anchors(name)):
            broken.append(link)
    assert broken == []


_PATH = re.compile(r"[\w.-]+(/[\w.-]+)*/?")
_SUFFIXES = (".py", ".md", ".toml", ".yml", ".conf", ".mg", ".lock", ".sh", ".svg", ".jpg")
_NOT_OURS = {
    "build/demo": "made by `make demo`",
    "docker-compose.override.yml": "the operator's own",
    "mine.toml": "an example",
    "mine.mg": "an example",
    "2025.1/mine.mg": "an example",
    "receiver.py": "made by the quick start",
    "../x.jpg": "a name that is refused",
}
"""What looks like a file of the project, and why it is none."""


def named_files(page: str) -> Iterator[str]:
    """Paths in backticks: those that begin with a folder of the project, and those that end as our files do."""
    folders = {name for name in tracked() if "/" not in name and (PROJECT / name).is_dir()}
    for token in inline(page):
        if token.type == "code_inline" and _PATH.fullmatch(token.content) and token.content not in _NOT_OURS:
            first, slash, _ = token.content.partition("/")
            if (slash and first in folders) or token.content.endswith(_SUFFIXES):
                yield token.content


@pytest.mark.parametrize("page", pages())
def test_files_that_are_named(page: str) -> None:
    """From the project's folder, from the page's, or, for the name of a file alone, anywhere."""
    names = {PurePosixPath(name).name for name in tracked()}
    missing = []
    for found in named_files(page):
        beside = str((Path(page).parent / found).as_posix())
        if not {found.rstrip("/"), beside.rstrip("/")} & tracked() and ("/" in found or found not in names):
            missing.append(found)
    assert missing == []


@pytest.mark.parametrize("block", [block for block in EVERY if block.language in RUNNABLE], ids=str)
def test_what_could_be_run_is_run_or_says_why_not(block: Block) -> None:
    assert block.language, "say what it is: ```sh, or ```text for what nobody runs"
    assert block.run_by or block.not_run, "put `<!-- run: tests/... -->` or `<!-- not run: why -->` before it"


@pytest.mark.parametrize("block", [block for block in EVERY if block.run_by], ids=str)
def test_the_test_that_is_named_runs_it(block: Block) -> None:
    """It takes the blocks of that page by their marks; what it takes is all that bear its name."""
    assert block.run_by is not None
    path = PROJECT / block.run_by
    assert path.is_file()
    assert block.page in {text for call in calls(path) for text in strings(call)}, (
        f"{block.run_by} does not ask for the blocks of {block.page}"
    )


def calls(path: Path) -> Iterator[ast.AST]:
    """What the blocks are asked for with: calls of `blocks_run_by`, and the loops around them."""
    for node in ast.walk(ast.parse(path.read_text())):
        asks = any(isinstance(each, ast.Name) and each.id == "blocks_run_by" for each in ast.walk(node))
        if asks and isinstance(node, ast.Call | ast.ListComp | ast.DictComp | ast.Assign):
            yield node


def strings(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def test_the_site_has_every_page() -> None:
    """`make site` builds it, and refuses links that lead nowhere."""
    named = re.findall(r"^ +- .*: (\S+\.md)$", (PROJECT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(pages()), "add it to the navigation in mkdocs.yml"
