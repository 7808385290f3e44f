"""Callbacks through the real worker: each kind of receiver is tried as the table in docs/webhooks.md says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from demo.servers import CallbackReceiver
from meshroom_tasks.jobs.records import OPTIONAL_EVENTS
from meshroom_tasks.ports import free_port
from tests.deployment import Deployment, deployed
from tests.loopback import Exchange, Site, serving
from tests.waiting import LONG, eventually


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A client's server; each path is a receiver of its own."""
    with serving() as site:
        yield site


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[tuple[Deployment, int]]:
    """A deployment that tries again every second for two minutes, and the port of a receiver that is not there yet."""
    port = free_port()
    schedule = ("0", "0.5", *["1"] * 120)
    folder: Path = tmp_path_factory.mktemp("callbacks")
    hosts = (f"127.0.0.1:{port}", site.authority)
    with deployed(
        folder, callback_schedule=schedule, callback_private_hosts=hosts, callback_total_seconds=5.0
    ) as deployment:
        yield deployment, port


def deliveries(deployment: Deployment, job_id: str) -> Any:
    url = f"{deployment.service.url}/api/v1/jobs/{job_id}/deliveries"
    return requests.get(url, headers={"X-API-Key": deployment.service.api_key}, timeout=60).json()["data"]


def ended(deployment: Deployment, url: str) -> str:
    """A job that ended at once, and whose end is told to `url`."""
    job_id = deployment.client.submit(deployment.photo_urls(), url)
    answer = requests.post(
        f"{deployment.service.url}/api/v1/jobs/{job_id}/cancel",
        headers={"X-API-Key": deployment.service.api_key},
        timeout=60,
    )
    assert answer.ok
    return str(job_id)


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


def test_a_receiver_that_is_down_for_six_tries_gets_it(patient: tuple[Deployment, int], site: Site) -> None:
    deployment, _ = patient
    answers = iter([503] * 6)
    site.routes["/down"] = lambda exchange: exchange.reply(next(answers, 204))
    job_id = ended(deployment, site.url("/down"))
    eventually(lambda: deliveries(deployment, job_id) and deliveries(deployment, job_id)[0]["status"] == "succeeded")
    (delivery,) = deliveries(deployment, job_id)
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [503] * 6 + [204]
    assert [attempt["number"] for attempt in delivery["attempts"]] == list(range(1, 8))
    posts = [request for request in site.received if request.path == "/down"]
    assert [post.headers["webhook-id"] for post in posts] == [delivery["id"]] * 7
    secret = deployment.settings.webhook_secret.get_secret_value()
    for post in posts:
        assert Webhook(secret).verify(post.body, post.headers)["error_code"] == "job_cancelled"


def silent(exchange: Exchange) -> None:
    while not exchange.wait(0.1):
        exchange.raw(b"")


def dripping(exchange: Exchange) -> None:
    """An answer without end: each byte comes well inside any time-out of a single read."""
    exchange.raw(b"HTTP/1.1 ")
    while not exchange.wait(0.2):
        exchange.raw(b"0")


def endless(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    while not exchange.wait(0):
        exchange.raw(b"x" * 65536)


def test_each_kind_of_receiver_is_handled_as_the_table_says(patient: tuple[Deployment, int], site: Site) -> None:
    deployment, _ = patient
    with serving() as internal:
        site.routes |= {
            "/slow": silent,
            "/drips": dripping,
            "/huge": endless,
            "/redirect": lambda exchange: exchange.reply(302, b"moved", Location=internal.url("/secret")),
            "/gone": lambda exchange: exchange.reply(410, b"go away"),
            "/busy": lambda exchange: exchange.reply(429, b"later", Retry_After="400"),
            "/breaks": partial(Exchange.raw, data=b"HTTP/1.1 20"),
            "/breaks-later": partial(Exchange.raw, data=b"HTTP/1.1 500 X\r\nContent-Length: 99\r\n\r\noops"),
        }
        paths = ("/slow", "/drips", "/huge", "/redirect", "/gone", "/busy", "/breaks", "/breaks-later")
        jobs = {path: ended(deployment, site.url(path)) for path in paths}

        def tried(path: str) -> Any:
            """The delivery, once it was tried."""
            return next((found for found in deliveries(deployment, jobs[path]) if found["attempts"]), None)

        found = {path: eventually(partial(tried, path)) for path in paths}
        first = {path: delivery["attempts"][0] for path, delivery in found.items()}
        assert {path: attempt["status_code"] for path, attempt in first.items()} == {
            "/slow": None,
            "/drips": None,
            "/huge": 200,
            "/redirect": 302,
            "/gone": 410,
            "/busy": 429,
            "/breaks": None,
            "/breaks-later": 500,
        }
        assert {path: found[path]["status"] for path in ("/slow", "/drips", "/huge", "/gone", "/busy")} == {
            "/slow": "pending",
            "/drips": "pending",
            "/huge": "succeeded",
            "/gone": "disabled",
            "/busy": "pending",
        }
        for path in ("/slow", "/drips", "/busy"):
            at, due = (datetime.fromisoformat(text) for text in (first[path]["at"], found[path]["next_attempt_at"]))
            assert (due - at).total_seconds() >= 60, path
        for path in ("/slow", "/drips"):  # Neither has finished, nor would it.
            assert first[path]["error"] == "no complete answer within 5 s"
        assert first["/huge"]["response_head"] == "x" * 1024
        assert first["/breaks-later"]["response_head"] == "oops"
        for path in ("/redirect", "/breaks", "/breaks-later"):
            eventually(lambda path=path: len(tried(path)["attempts"]) > 1)  # type: ignore[misc]
        assert internal.received == []
        failing = requests.get(
            f"{deployment.service.url}/api/v1/callbacks/failing",
            headers={"X-API-Key": deployment.service.api_key},
            timeout=60,
        ).json()["data"]
        assert {endpoint["endpoint"] for endpoint in failing} >= {site.url(path) for path in paths if path != "/huge"}
        assert site.url("/huge") not in {endpoint["endpoint"] for endpoint in failing}


def test_events_come_where_they_are_asked_for(patient: tuple[Deployment, int], site: Site) -> None:
    deployment, _ = patient
    site.routes["/events"] = lambda exchange: exchange.reply(204)
    urls, asked = deployment.photo_urls(), list(OPTIONAL_EVENTS)
    job_id = deployment.client.submit(urls, site.url("/events"), callback_events=asked, metadata={"order": 7})
    job = deployment.wait(job_id)
    assert job["status"] == "completed"
    stages = {stage["name"] for stage in job["stages"] if stage["name"] != "results"}

    def told() -> dict[str, Any]:
        bodies = [json.loads(request.body) for request in site.received if request.path == "/events"]
        return {body.get("stage", body.get("type", body.get("status"))): body for body in bodies}

    eventually(lambda: set(told()) == {"completed", "job.started", *stages}, about=told)
    assert "type" not in told()["completed"]
    assert told()["job.started"]["attempt"] == 1
    ingest = told()["ingest"]
    assert datetime.fromisoformat(ingest.pop("timestamp"))
    assert ingest == {
        "type": "job.stage_completed",
        "job_id": job_id,
        "attempt": 1,
        "stage": "ingest",
        "chunks": 1,
        "cached": False,
        "metadata": {"order": 7},
    }
