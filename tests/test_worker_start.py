"""What a worker refuses to start without."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.child_processes import EXIT_REFUSED, READY_FILE, refusal_file
from meshroom_tasks.settings import load_settings
from meshroom_tasks.worker import _check_database
from tests.servers.postgres import PostgresServer


def test_a_database_without_the_schema_of_this_version(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(READY_FILE, str(tmp_path / "worker.ready"))
    url = postgres.new_database("empty", lambda _: None)
    with pytest.raises(SystemExit) as ended:
        _check_database(load_settings(database_url=url))
    assert ended.value.code == EXIT_REFUSED
    assert "meshroom_tasks.jobs.migrate" in refusal_file(tmp_path / "worker.ready").read_text()


def test_a_server_that_is_away_may_come_back() -> None:
    _check_database(load_settings(database_url="postgresql://nobody@127.0.0.1:1/none"))
