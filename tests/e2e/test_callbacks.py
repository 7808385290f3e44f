"""Callbacks through the real worker: a receiver that is away at first gets it, once, with its attempts recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.ports import free_port
from demo.servers import CallbackReceiver
from tests.deployment import Deployment, deployed
from tests.waiting import LONG, eventually


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, int]]:
    """A deployment that tries again every second for two minutes, and the port of a receiver that is not there yet."""
    port = free_port()
    schedule = ("0", "0.5", *["1"] * 120)
    folder: Path = tmp_path_factory.mktemp("callbacks")
    with deployed(folder, callback_schedule=schedule, callback_private_hosts=(f"127.0.0.1:{port}",)) as deployment:
        yield deployment, port


def deliveries(deployment: Deployment, job_id: str) -> Any:
    url = f"{deployment.service.url}/api/v1/jobs/{job_id}/deliveries"
    return requests.get(url, headers={"X-API-Key": deployment.service.api_key}, timeout=60).json()["data"]


def test_a_receiver_that_is_away_gets_it_later(patient: tuple[Deployment, int]) -> None:
    deployment, port = patient
    job_id = deployment.client.submit(deployment.photo_urls(), f"http://127.0.0.1:{port}/hook")
    assert deployment.wait(job_id)["status"] == "completed"
    eventually(lambda: len(deliveries(deployment, job_id)[0]["attempts"]) >= 2)
    receiver = CallbackReceiver(deployment.settings.webhook_secret.get_secret_value())
    with receiver.running(port):
        assert receiver.wait(LONG)["job_id"] == job_id
        eventually(lambda: deliveries(deployment, job_id)[0]["status"] != "pending")
        delivery = deliveries(deployment, job_id)[0]
        assert delivery["status"] == "succeeded"
        *failed, last = delivery["attempts"]
        assert [attempt["status_code"] for attempt in failed] == [None] * len(failed)
        assert all(attempt["error"] for attempt in failed)
        assert last["status_code"] == 204
        again = requests.post(
            f"{deployment.service.url}/api/v1/jobs/{job_id}/deliveries/{delivery['id']}/redeliver",
            headers={"X-API-Key": deployment.service.api_key},
            timeout=60,
        )
        assert again.ok
        assert receiver.wait(LONG)["job_id"] == job_id
