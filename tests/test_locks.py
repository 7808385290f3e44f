"""The lock files name all that is needed, since nothing else is installed with them, and no address."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_FOLDER = Path(__file__).parents[1]
_LOCKS = sorted(path.name for path in _FOLDER.glob("requirements*.lock"))


def _pinned(lock: str) -> dict[str, str]:
    """Versions by name, of what is needed on this machine."""
    text = (_FOLDER / lock).read_text().replace("\\\n", " ")
    lines = (line.partition("#")[0].partition("--hash")[0].strip() for line in text.splitlines())
    entries = [Requirement(line) for line in lines if line]
    return {
        canonicalize_name(entry.name): str(entry.specifier).removeprefix("==")
        for entry in entries
        if entry.marker is None or entry.marker.evaluate()
    }


def _missing(package: str, extras: frozenset[str], pinned: dict[str, str], seen: set[str]) -> list[str]:
    """What the package asks for and the lock has not, or in a version that will not do."""
    seen.add(package)
    found = []
    for text in requires(package) or []:
        need = Requirement(text)
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        name = canonicalize_name(need.name)
        if name not in pinned or not need.specifier.contains(pinned[name], prereleases=True):
            found.append(f"{package} needs {need}")
        elif (more := f"{name}{sorted(need.extras)}") not in seen:
            seen.add(more)
            found += _missing(name, frozenset(need.extras | {""}), pinned, seen)
    return found


@pytest.mark.parametrize(("lock", "extra"), [("requirements.lock", ""), ("requirements-dev.lock", "dev")])
def test_a_lock_is_complete(lock: str, extra: str) -> None:
    assert _missing("meshroom-tasks", frozenset({extra, ""}), _pinned(lock), set()) == []


@pytest.mark.parametrize("lock", _LOCKS)
def test_a_lock_has_hashes_and_no_addresses(lock: str) -> None:
    text = (_FOLDER / lock).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    entries = re.split(r"\n(?=\w)", text.partition("\n\n")[2] or text)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
