"""What a worker refuses to start without."""

from __future__ import annotations

import pytest

from meshroom_tasks.settings import load_settings
from meshroom_tasks.worker import _check_database
from tests.servers.postgres import PostgresServer


def test_a_database_without_the_schema_of_this_version(postgres: PostgresServer) -> None:
    url = postgres.new_database("empty", lambda _: None)
    with pytest.raises(SystemExit, match=r"meshroom_tasks\.jobs\.migrate"):
        _check_database(load_settings(database_url=url))


def test_a_server_that_is_away_may_come_back() -> None:
    _check_database(load_settings(database_url="postgresql://nobody@127.0.0.1:1/none"))
