"""Flower on a real RabbitMQ: the names of its tasks say job, stage and chunk, and of what really runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from meshroom_tasks.local_service import LocalService
from tests.deployment import Deployment, deployed
from tests.servers.rabbitmq import RabbitMQ
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("flower")
    with deployed(folder, make_service=LocalService, broker_url=rabbitmq.url, cpu_workers=1) as deployment:
        yield deployment


def ask(deployment: Deployment, path: str) -> requests.Response:
    url = f"http://127.0.0.1:{deployment.settings.flower_port}{path}"
    return requests.get(url, auth=("admin", deployment.service.api_key), timeout=30)


def tasks(deployment: Deployment) -> list[dict[str, Any]]:
    return list(ask(deployment, "/api/tasks").json().values())


def listening(deployment: Deployment) -> bool:
    """Flower knows the workers, so it has heard of events."""
    try:
        return len(ask(deployment, "/api/workers?refresh=1").json()) >= 2
    except (requests.ConnectionError, ValueError):
        return False


def test_each_task_is_called_by_what_it_runs(running: Deployment) -> None:
    eventually(lambda: listening(running), about=running.logs)
    running.script({"block_sizes": {"DepthMap": 2}, "stages": [{"node_type": "DepthMap", "until": str(running.gate)}]})
    low = running.submit(running.photo_urls(4, seed=1), priority=0)
    running.computing("DepthMap")
    # Its steps are announced last and run first: each of them by a message that named a step of the other job.
    high = running.submit(running.photo_urls(4, seed=2), priority=9)
    eventually(lambda: running.store.waiting_steps().get("cpu", 0), about=running.logs)
    running.open_gate()
    assert {running.wait(job_id)["status"] for job_id in (low, high)} == {"completed"}

    def all_told() -> bool:
        results = {str(task["result"]).strip("'") for task in tasks(running) if task["state"] == "SUCCESS"}
        wanted = {
            f"{run}.job-{job[:8]}"
            for job in (low, high)
            for run in ("ingest", "plan", "DepthMap_1.chunk-0", "DepthMap_1.chunk-1", "Texturing_1.chunk-0", "results")
        }
        return wanted <= results

    eventually(all_told, about=lambda: tasks(running))
    told = [task for task in tasks(running) if str(task["result"]).endswith(f"{low[:8]}'")]
    told += [task for task in tasks(running) if str(task["result"]).endswith(f"{high[:8]}'")]
    assert [(task["name"], task["result"]) for task in told if f"'{task['name']}'" != task["result"]] == []
    named = [task for task in tasks(running) if task["name"]]
    assert not {task["name"] for task in named} & {"ingest", "plan", "chunk", "results", "callback"}
    assert {task["args"] for task in named} >= {f"job {low}", f"job {high}"}
    link = ask(running, f"/api/tasks?search=name:DepthMap_1.chunk-1.job-{high[:8]}").json()
    assert f"'DepthMap_1.chunk-1.job-{high[:8]}'" in {task["result"] for task in link.values()}
    assert len(ask(running, f"/api/tasks?search=job-{high[:8]}").json()) >= 10


def test_its_pages_answer(running: Deployment) -> None:
    for page in ("/workers", "/tasks", "/broker", "/metrics"):
        assert ask(running, page).status_code == 200, page
