"""New SQLite databases for tests: the migrations run once a process, and each test gets a copy of what they make."""

from __future__ import annotations

import tempfile
import uuid
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.installation import installation


def new_sqlite(path: Path) -> None:
    """A database with the schema of today, no rows, and a name of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_template())
    database = Database(f"sqlite:///{path}")
    with database.transaction() as connection:
        connection.execute(sa.update(installation).values(id=uuid.uuid4().hex))
    database.engine.dispose()


@cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "jobs.sqlite"
        database = Database(f"sqlite:///{made}")
        database.upgrade()
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("pragma wal_checkpoint(truncate)")  # All is in one file then.
        database.engine.dispose()
        return made.read_bytes()
