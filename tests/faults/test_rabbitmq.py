"""The service on a real RabbitMQ, whose plug is pulled in the middle of a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from meshroom_tasks import topology
from meshroom_tasks.settings import PROJECT, python_path
from tests.deployment import Deployment, deployed
from tests.scripted_engine import overlapping
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("rabbit"), broker_url=rabbitmq.url) as deployment:
        yield deployment


def celery(url: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "BROKER_URL": url, "PYTHONPATH": python_path()}
    command = [sys.executable, "-m", "celery", "-A", "meshroom_tasks", *arguments]
    return subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def restart(broker: RabbitMQ) -> None:
    broker.restart()


def kill(broker: RabbitMQ) -> None:
    broker.kill()
    broker.start()


def cut_connections(broker: RabbitMQ) -> None:
    broker.control("close_all_connections", "a test")


def purge(broker: RabbitMQ) -> None:
    process = celery(broker.url, "purge", "-f")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output


def nothing(broker: RabbitMQ) -> None:
    pass


@pytest.mark.parametrize("fault", [nothing, restart, kill, cut_connections, purge])
def test_a_job_outlives_what_happens_to_the_broker(
    running: Deployment, rabbitmq: RabbitMQ, fault: Callable[[RabbitMQ], None]
) -> None:
    before = len(running.ledger())
    running.close_gate()
    running.script({"block_sizes": {"DepthMap": 2}, "stages": [{"node_type": "DepthMap", "until": str(running.gate)}]})
    first, second = (running.submit(running.photo_urls(4, seed=sum(fault.__name__.encode()) * 10 + n)) for n in (0, 1))
    running.computing("DepthMap", 2)
    fault(rabbitmq)
    running.open_gate()
    jobs = [running.wait(job_id) for job_id in (first, second)]
    assert [job["status"] for job in jobs] == ["completed"] * 2, jobs
    runs = running.ledger()[before:]
    assert overlapping(runs) == []
    assert set(Counter((run.uid, run.chunk) for run in runs).values()) == {1}, "no stage stops for the broker's sake"
    assert [running.callback(job_id)["status"] for job_id in (first, second)] == ["completed"] * 2


def test_a_failed_step_leaves_no_dead_letter(running: Deployment, rabbitmq: RabbitMQ) -> None:
    running.script({"stages": [{"node_type": "CameraInit", "fail": {"exit": 1}}]})
    job = running.wait(running.submit(running.photo_urls(4, seed=77)))
    assert job["status"] == "failed"
    assert running.callback(job["id"])["status"] == "failed"
    assert not [name for name in rabbitmq.filled_queues() if ".dead." in name]


def test_the_workers_declare_no_queues_of_their_own(running: Deployment, rabbitmq: RabbitMQ) -> None:
    found = {line["name"] for line in json.loads(rabbitmq.control("list_queues", "name", "--formatter", "json"))}
    assert {name for name in found if "celery" not in name} == {
        queue.name for queue in (*topology.work_queues(), *topology.dead_queues().values())
    }
    assert not [name for name in found if "delayed" in name]
