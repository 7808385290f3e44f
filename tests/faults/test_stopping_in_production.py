"""Cancel and SIGTERM with RabbitMQ and PostgreSQL: what ran is gone, and nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import requests

from tests.deployment import Deployment, deployed
from tests.scripted_engine import overlapping
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitMQ
from tests.waiting import LONG, eventually

pytestmark = pytest.mark.slow

STUBBORN = {"ignore_sigterm": True, "own_session": True, "children": ["plain", "session", "daemon"], "hang": True}
GRACE = 3.0


@pytest.fixture(scope="module")
def production(
    rabbitmq: RabbitMQ, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The lease is long: only giving a step back can pass it on in time."""
    url = postgres.new_database("template_of_a_service", lambda _: None)
    settings = {"broker_url": rabbitmq.url, "database_url": url, "lease_seconds": 600.0, "drain_seconds": GRACE}
    with deployed(tmp_path_factory.mktemp("production"), **settings) as deployment:
        yield deployment
    assert rabbitmq.filled_queues() == {}, "no message is left, dead or alive"


def stubborn_engine(deployment: Deployment) -> None:
    """Waits until all its processes are there; three of them in sessions of their own."""
    deployment.computing("DepthMap")
    eventually(lambda: len(deployment.stage_processes()) >= 3 and sleepers(deployment) == 3)


def sleepers(deployment: Deployment) -> int:
    worker = deployment.worker().process
    assert worker is not None
    return sum("time.sleep" in line for line in deployment.command_lines_below(worker.pid))


def test_cancel_ends_the_whole_tree_before_the_job_is_cancelled(production: Deployment) -> None:
    production.script({"stages": [{"node_type": "DepthMap", **STUBBORN}]})
    job_id = production.submit(production.photo_urls(seed=1))
    stubborn_engine(production)
    url = f"{production.service.url}/api/v1/jobs/{job_id}"
    headers = {"X-API-Key": production.service.api_key}
    assert requests.post(f"{url}/cancel", headers=headers, timeout=60).ok
    while requests.get(url, headers=headers, timeout=60).json()["status"] != "cancelled":
        pass  # At once: what were left of it would be seen.
    assert sleepers(production) == 0, "cancelled means that nothing of it runs"
    assert production.stage_processes() == []
    callback = production.callback(job_id)
    assert (callback["status"], callback["error_code"]) == ("failed", "job_cancelled")


def test_what_outlasts_the_grace_is_given_back_and_nothing_of_it_stays(production: Deployment) -> None:
    production.script({"stages": [{"node_type": "DepthMap", "attempts": [1], **STUBBORN}]})
    before = len(production.ledger())
    job_id = production.submit(production.photo_urls(seed=2))
    stubborn_engine(production)
    worker = production.worker().process
    assert worker is not None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LONG) == 0
    eventually(lambda: production.stage_processes() == [])
    job = production.wait(job_id)
    assert job["status"] == "completed", job["error"]
    assert {chunk["attempts"] for stage in job["stages"] for chunk in stage["chunks"]} == {1}
    runs = production.ledger()[before:]
    assert [run.exit == 0 for run in runs if run.node_type == "DepthMap"] == [False, True]
    assert overlapping(runs) == []
    assert production.callback(job_id)["status"] == "completed"


def test_what_ends_within_the_grace_is_finished_once(production: Deployment) -> None:
    production.script({"stages": [{"node_type": "DepthMap", "sleep": GRACE / 3}]})
    before = len(production.ledger())
    job_id = production.submit(production.photo_urls(seed=3))
    production.computing("DepthMap")
    worker = production.worker().process
    assert worker is not None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LONG) == 0
    job = production.wait(job_id)
    assert job["status"] == "completed", job["error"]
    assert {chunk["attempts"] for stage in job["stages"] for chunk in stage["chunks"]} == {1}
    finished = [run for run in production.ledger()[before:] if run.node_type == "DepthMap" and run.exit == 0]
    assert len(finished) == 1


def test_readiness_says_which_part_is_away(
    production: Deployment, rabbitmq: RabbitMQ, postgres: PostgresServer
) -> None:
    def readiness() -> tuple[int, str]:
        answer = requests.get(f"{production.service.url}/readyz", timeout=60)
        return answer.status_code, answer.json().get("detail", "")

    eventually(lambda: readiness()[0] == 200)
    rabbitmq.stop()
    try:
        eventually(lambda: readiness()[0] == 503 and "broker" in readiness()[1])
    finally:
        rabbitmq.start()
    eventually(lambda: readiness()[0] == 200)
    postgres.stop(immediately=True)
    try:
        eventually(lambda: readiness()[0] == 503 and "database" in readiness()[1])
    finally:
        postgres.start()
    eventually(lambda: readiness()[0] == 200)
