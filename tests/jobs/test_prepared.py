"""What a prepared statement binds is what SQLAlchemy binds, on both kinds of database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.prepared import Prepared
from meshroom_tasks.jobs.store import JobStore

_JOB = {
    "id": "job-1",
    "tenant": "default",
    "status": "queued",
    "created_at": datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
    "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
    "request_id": "r",
    "pipeline": "draft",
    "priority": 5,
    "image_urls": ["https://a/ü.jpg", "b\n'\"%s?:x"],
    "image_count": None,
    "settings": {"Node": {"deep": [1, None, 2.5, True]}},
    "outputs": [],
    "metadata": {"emoji": "😀"},
    "callback_url": None,
}


def test_a_row_is_the_same_as_by_sqlalchemy(store: JobStore) -> None:
    prepared = Prepared(sa.insert(tables.job), *_JOB)
    with store.database.transaction() as connection:
        prepared.execute(connection, _JOB)
        prepared.execute(connection, {**_JOB, "id": "job-2", "attempts": 1})
        connection.execute(sa.insert(tables.job).values(**{**_JOB, "id": "job-3"}))
    with store.database.snapshot() as connection:
        rows = [row._asdict() for row in connection.execute(sa.select(tables.job).order_by(tables.job.c.id))]
    ids = [row.pop("id") for row in rows]
    assert ids == ["job-1", "job-2", "job-3"]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0]["created_at"] == _JOB["created_at"]
    assert (rows[0]["cancel_requested"], rows[0]["warnings"], rows[0]["settings"]) == (False, [], _JOB["settings"])


def test_parameters_of_a_query(store: JobStore) -> None:
    prepared = Prepared(sa.select(tables.tenant.c.name).where(tables.tenant.c.name == sa.bindparam("tenant")))
    with store.database.snapshot() as connection:
        assert prepared.execute(connection, {"tenant": "default"}).one().name == "default"
        assert prepared.execute(connection, {"tenant": "nobody"}).one_or_none() is None


def test_a_value_that_has_no_default_must_be_given(store: JobStore) -> None:
    prepared = Prepared(sa.insert(tables.job), *_JOB)
    with store.database.transaction() as connection, pytest.raises(KeyError, match="pipeline"):
        prepared.execute(connection, {name: value for name, value in _JOB.items() if name != "pipeline"})
