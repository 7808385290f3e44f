from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from meshroom_tasks.commands.workers import drain, workers
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.settings import current_settings

GPU0 = WorkerFacts("gpu0@a", "a", 7, ("gpu",), 1, "meshroom-2023.3.0", "GPU-1", "NVIDIA Test", 24_000_000_000)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[JobStore]:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    current_settings.cache_clear()
    yield open_store(current_settings())
    current_settings.cache_clear()


def test_workers_are_shown_to_people_and_to_scripts(store: JobStore) -> None:
    assert "No worker is there" in CliRunner().invoke(workers).output
    store.worker_started(GPU0)
    shown = CliRunner().invoke(workers)
    assert shown.exit_code == 0
    assert all(text in shown.output for text in ("gpu0@a", "running", "meshroom-2023.3.0", "NVIDIA Test, 24 GB"))
    [told] = json.loads(CliRunner().invoke(workers, ["--json"]).output)
    assert (told["name"], told["state"], told["gpu_uuid"]) == ("gpu0@a", "running", "GPU-1")


@pytest.mark.parametrize("name", ["gpu0", "gpu0@a"])
def test_a_worker_is_drained_and_taken_back(store: JobStore, name: str) -> None:
    store.worker_started(GPU0)
    answer = CliRunner().invoke(drain, [name])
    assert (answer.exit_code, answer.output) == (0, "gpu0@a takes nothing new within seconds.\n")
    assert store.worker_seen(GPU0) is True
    assert CliRunner().invoke(drain, [name, "--undo"]).exit_code == 0
    assert store.worker_seen(GPU0) is False


def test_an_unknown_or_ambiguous_worker_is_an_error_in_words(store: JobStore) -> None:
    for host in "ab":
        store.worker_started(WorkerFacts(f"cpu@{host}", host, 1, ("cpu",), 1))
    for name in ("gpu7", "cpu"):
        answer = CliRunner().invoke(drain, [name])
        assert answer.exit_code == 1
        assert f"there is no worker '{name}'" in answer.output
