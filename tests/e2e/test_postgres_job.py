"""A whole job with its state on PostgreSQL, and one whose server goes down in the middle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployment import Deployment, deployed
from tests.scripted_engine import overlapping
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="module")
def on_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    url = postgres.new_database("template_of_a_service", lambda _: None)
    with deployed(tmp_path_factory.mktemp("e2e-postgres"), database_url=url) as deployment:
        yield deployment


def test_a_job_whose_state_is_on_postgres(on_postgres: Deployment) -> None:
    assert on_postgres.store.database.engine.dialect.name == "postgresql"
    job_id = on_postgres.submit()
    assert on_postgres.wait(job_id)["status"] == "completed"
    assert on_postgres.callback(job_id)["status"] == "completed"


def test_a_restart_of_the_database_costs_a_running_job_nothing_but_time(
    on_postgres: Deployment, postgres: PostgresServer
) -> None:
    on_postgres.script({"stages": [{"node_type": "DepthMap", "until": str(on_postgres.gate)}]})
    before = len(on_postgres.ledger())
    job_id = on_postgres.submit(on_postgres.photo_urls(seed=1))
    on_postgres.computing("DepthMap")
    postgres.restart(immediately=True, seconds_away=1.5)
    on_postgres.open_gate()
    job = on_postgres.wait(job_id)
    assert job["status"] == "completed", job
    runs = on_postgres.ledger()[before:]
    assert overlapping(runs) == []
    assert [run.node_type for run in runs].count("DepthMap") == 1, "away for less than a lease: the holder keeps it"
    assert on_postgres.callback(job_id)["status"] == "completed"
    assert not on_postgres.more_callbacks([job_id])
