"""The schema: migrations lead to exactly the tables of today, and processes that start together agree."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from meshroom_tasks.jobs.database import Database, DatabaseUnavailable, SchemaOutdated
from meshroom_tasks.jobs.tables import metadata


def test_migrations_lead_to_the_tables_of_today(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    with pytest.raises(SchemaOutdated):
        database.require_current()
    database.upgrade()
    database.require_current()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def _upgrade(url: str) -> None:
    Database(url).upgrade()


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.sqlite'}"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_upgrade, args=(url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_database_that_cannot_be_opened_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").mkdir()
    with pytest.raises(DatabaseUnavailable):
        Database(f"sqlite:///{tmp_path / 'a.sqlite'}").ping()
