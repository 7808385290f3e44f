"""`cache stats`, `cache evict`, `cache verify`."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.commands.cache import cache_group
from meshroom_tasks.handoff import StageCache
from tests.handoff.test_retention import run
from tests.jobs.conftest import run_to_plan

from .conftest import Shell


@pytest.fixture
def used(shell: Shell, tmp_path: Path) -> Shell:
    """A job of five chunks has ended."""
    run_to_plan(shell.store)
    run(shell.store, StageCache(shell.operator.storage), tmp_path)
    return shell


def test_stats(used: Shell) -> None:
    found = used.ask(cache_group, "stats")
    assert (found["entries"], found["needed_entries"], found["max_bytes"]) == (5, 0, 0)
    assert found["bytes"] > 5000
    said = used.run(cache_group, "stats").stdout
    assert said.startswith("5 entries, ")
    assert "no limit" in said


def test_evict(used: Shell) -> None:
    assert used.ask(cache_group, "evict")["entries"] == 0, "no limit is set"
    assert used.ask(cache_group, "evict", "--older-than", "1h")["entries"] == 0
    assert used.ask(cache_group, "evict", "--max-bytes", "1", "--dry-run")["entries"] == 5
    assert used.ask(cache_group, "stats")["entries"] == 5
    assert used.run(cache_group, "evict", "--max-bytes", "1").stdout.startswith("5 entries, ")
    assert used.ask(cache_group, "stats")["entries"] == 0
    assert list(used.operator.storage.list("cache")) == []


def test_verify(used: Shell) -> None:
    assert used.ask(cache_group, "verify", "--deep") == {"repaired": False, "findings": []}
    bundle = next(key for key in used.operator.storage.list("cache") if not key.endswith(".json"))
    used.operator.storage.delete(bundle)
    result = used.run(cache_group, "verify")
    assert result.exit_code == 1
    assert result.stdout.startswith("marker_without_bundle")
    [finding] = used.ask(cache_group, "verify", "--repair")["findings"]
    assert bundle.startswith(finding["key"])
    assert used.run(cache_group, "verify").stdout == "0 findings\n"
