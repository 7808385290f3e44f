"""Secrets stay where they belong: none in any log, whatever happens at whatever level, and none with the engine."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest
import requests
from psycopg import sql

from meshroom_tasks.local_service import LocalService
from tests.deployment import Deployment, deployed
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.seaweedfs import SeaweedFS
from tests.waiting import eventually

pytestmark = pytest.mark.slow

TIMEOUT = 60

SENT_BY_CLIENTS = (
    "photo signature",
    "callback token",
    "blocked query",
    "missing query",
    "user info",
    "wrong key",
    "cursor",
)


def made_up() -> str:
    return f"s3cr3t{secrets.token_hex(12)}"


@dataclass
class Told:
    """A deployment and all that may not be seen of it, by name."""

    deployment: Deployment
    hidden: dict[str, str]
    sent: dict[str, str] = field(default_factory=lambda: {name: made_up() for name in SENT_BY_CLIENTS})

    @property
    def everything(self) -> dict[str, str]:
        return {**self.hidden, **self.sent}


@contextmanager
def told(folder: Path, hidden: dict[str, str], **settings: Any) -> Iterator[Told]:
    api_key = made_up()
    with deployed(folder, make_service=LocalService, log_level="DEBUG", x_api_key=api_key, **settings) as deployment:
        webhook = deployment.settings.webhook_secret.get_secret_value()
        yield Told(deployment, {"API key": api_key, "webhook secret": webhook.removeprefix("whsec_"), **hidden})


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with told(tmp_path_factory.mktemp("embedded"), {}) as one:
        yield one


@pytest.fixture(scope="module")
def production(
    rabbitmq: RabbitMQ, postgres: PostgresServer, seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    password = made_up()
    database = with_password(postgres, postgres.new_database("template_of_a_service", lambda _: None), password)
    broker = made_up()
    rabbitmq.control("add_user", "walls", broker)
    rabbitmq.control("set_permissions", "walls", ".*", ".*", ".*")
    url = f"amqp://walls:{broker}@127.0.0.1:{rabbitmq.port}//"
    hidden = {"database password": password, "broker password": broker, "AWS secret": seaweedfs.owner[1]}
    bucket = f"walls-{uuid.uuid4().hex}"
    settings = seaweedfs.settings(bucket, broker_url=url, database_url=database)
    with told(tmp_path_factory.mktemp("production"), hidden, **settings) as one:
        yield one


@pytest.fixture(params=["embedded", "production"])
def one(request: pytest.FixtureRequest) -> Told:
    found: Told = request.getfixturevalue(request.param)
    return found


def with_password(postgres: PostgresServer, url: str, password: str) -> str:
    """The same database for a user with this password."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        role = sql.SQL("create role walls superuser login password {}").format(sql.Literal(password))
        connection.execute(role)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"walls:{password}@{parts.netloc.rpartition('@')[2]}"))


def test_no_secret_is_in_any_log(one: Told) -> None:
    """After a job that completes, ones that fail, requests that are refused, downloads, and a look at Flower."""
    deployment, sent = one.deployment, one.sent
    urls = [f"{url}?X-Amz-Signature={sent['photo signature']}" for url in deployment.photo_urls(4, seed=1)]
    callback = f"{deployment.receiver.url}?token={sent['callback token']}"
    job_id = deployment.client.submit(urls, callback)
    job = deployment.wait(job_id)
    assert job["status"] == "completed", job
    deployment.callback(job_id)
    signatures = [download(item["url"]) for item in job["results"]]
    missing = [deployment.url_of(f"nothing-{number}.jpg?key={sent['missing query']}") for number in range(3)]
    failed = deployment.wait(deployment.client.submit([*urls, *missing], callback))
    assert failed["error"]["code"] == "image_unreachable"
    provoke(deployment, sent, urls)
    look_at_flower(deployment)
    deployment.service.stop()
    deployment.start()

    hidden = {**one.everything, **{f"presigned signature {n}": text for n, text in enumerate(signatures) if text}}
    assert ("AWS secret" in one.hidden) == any(signatures), "results are presigned where they are in S3"
    logs = {path.name: path.read_text(errors="replace") for path in (deployment.settings.data_dir / "logs").iterdir()}
    assert {"web.log", "sweeper.log", "flower.log", "worker-light.log", "worker-stages.log"} <= set(logs)
    assert all(logs.values()), {name: len(text) for name, text in logs.items()}
    found = [(name, what) for name, text in logs.items() for what, secret in hidden.items() if secret in text]
    assert found == []
    assert not [name for name, text in logs.items() if "x-amz-signature=" in text.lower()]


def download(url: str) -> str:
    """The signature of the presigned address that it was at; empty where the web app sent it."""
    answer = requests.get(url, timeout=TIMEOUT)
    assert answer.ok
    return answer.url.partition("X-Amz-Signature=")[2].partition("&")[0]


def provoke(deployment: Deployment, sent: dict[str, str], urls: list[str]) -> None:
    base, key = deployment.service.url, {"X-API-Key": deployment.service.api_key}

    def submit(**changes: Any) -> int:
        body = {"image_urls": urls, **changes}
        return requests.post(f"{base}/api/v1/reconstruct", json=body, headers=key, timeout=TIMEOUT).status_code

    assert submit(image_urls=[f"http://127.0.0.1:1/a.jpg?sig={sent['blocked query']}"] * 3) == 422
    assert submit(callback_url=f"https://someone:{sent['user info']}@hooks.example.com/") == 422
    assert (
        requests.get(f"{base}/api/v1/jobs", headers={"X-API-Key": sent["wrong key"]}, timeout=TIMEOUT).status_code
        == 401
    )
    assert requests.get(f"{base}/api/v1/jobs?cursor={sent['cursor']}", headers=key, timeout=TIMEOUT).status_code == 422
    assert requests.get(f"{base}/api/v1/jobs?apikey={sent['cursor']}", headers=key, timeout=TIMEOUT).status_code == 422
    internal = f"http://internal.example.invalid/a.jpg?sig={sent['blocked query']}"
    job = deployment.wait(deployment.client.submit([internal] * 3, deployment.receiver.url))
    assert job["status"] == "failed"


def look_at_flower(deployment: Deployment) -> None:
    url = f"http://127.0.0.1:{deployment.settings.flower_port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/workers", auth=("admin", deployment.service.api_key), timeout=TIMEOUT).ok
        except requests.ConnectionError:
            return False

    eventually(answers, about=deployment.logs)


def test_the_engine_and_its_guards_see_no_secret(one: Told) -> None:
    """What its processes have in their environment, and those between it and the worker."""
    deployment = one.deployment
    deployment.script({"stages": [{"node_type": "FeatureMatching", "hang": True}]})
    job_id = deployment.client.submit(deployment.photo_urls(4, seed=2), deployment.receiver.url)
    [run, *_] = deployment.computing("FeatureMatching")
    worker = deployment.worker().process
    assert worker is not None
    for name in one.hidden:
        assert one.hidden[name] in environment(worker.pid), f"the workers are given the {name}"
    line = psutil.Process(run.pid).parents()
    # The warden is forked from it, and has its command line.
    fork_server = [process for process in line if process.cmdline()[-1].endswith("engine/guard")][-1]
    between = [process for process in line if fork_server in process.parents()]
    assert "warden" in [process.name() for process in between]
    assert environment(fork_server.pid) == ""
    for process in [*deployment.stage_processes(), *between, fork_server]:
        seen = environment(process.pid)
        assert [name for name, secret in one.everything.items() if secret in seen] == [], process.cmdline()
    key = {"X-API-Key": deployment.service.api_key}
    assert requests.post(f"{deployment.service.url}/api/v1/jobs/{job_id}/cancel", headers=key, timeout=TIMEOUT).ok
    assert deployment.wait(job_id)["status"] == "cancelled"
    deployment.script({})


def environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text(errors="replace")
