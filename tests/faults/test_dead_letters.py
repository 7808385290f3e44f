"""Where messages end that no worker can take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from meshroom_tasks import dead_letters, topology
from meshroom_tasks.settings import PROJECT, load_settings, python_path
from tests.servers import tied
from tests.servers.rabbitmq import RabbitMQ
from tests.waiting import LONG, eventually

pytestmark = pytest.mark.slow

GARBAGE = (b"\xff{", b"42", b"null", b'"text"', b"[1, 2]", b'{"a": 1}')
"""Bodies that are no arguments of the task that their header names."""
NONSENSE: tuple[list[object], ...] = ([], ["no such step"], [{"a": 1}], [1, 2, 3])
"""Arguments that are none of this task: it fails, and its message is gone."""


@contextmanager
def worker(broker: RabbitMQ, folder: Path) -> Iterator[None]:
    """A worker of the queue `gpu` that knows the poisonous task."""
    settings = load_settings(data_dir=folder, broker_url=broker.url)
    process = tied.start(
        [
            *(sys.executable, "-m", "celery", "-A", "meshroom_tasks"),
            *("worker", "-n", "poisoned@%h", "-c", "1", "-Q", "gpu", "-I", "tests.faults.poison"),
        ],
        signal="TERM",
        cwd=PROJECT,
        env={**os.environ, **settings.as_environment(), "PYTHONPATH": python_path()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(LONG)


def publish(connection: Connection, body: bytes | list[object], **options: object) -> None:
    connection.Producer().publish(body, exchange=topology.EXCHANGE, routing_key="gpu", delivery_mode=2, **options)


def command(broker: RabbitMQ, folder: Path, *arguments: str) -> Any:
    """What the command answers with --json."""
    settings = load_settings(data_dir=folder, broker_url=broker.url)
    run = subprocess.run(
        [sys.executable, "-m", "meshroom_tasks", *arguments, "--json"],
        cwd=PROJECT,
        env={**os.environ, **settings.as_environment()},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_what_no_worker_can_take_becomes_a_dead_letter(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    ledger, data = tmp_path / "ledger", tmp_path / "data"
    declared = command(rabbitmq, data, "topology")
    assert len(declared) == 2 * len(topology.WORK)
    assert command(rabbitmq, data, "topology") == declared, "a second time changes nothing"
    with Connection(rabbitmq.url) as connection, worker(rabbitmq, data):
        publish(connection, [[str(ledger)], {}, {}], headers={"lang": "py", "task": "poison", "id": "p" * 8})
        publish(connection, b"\xff{", content_type="application/json", content_encoding="utf-8")
        publish(connection, [[], {}, {}], headers={"lang": "py", "task": "no.such.task", "id": "q" * 8})
        eventually(lambda: rabbitmq.filled_queues() == {f"gpu.dead.{topology.VERSION}": 3})
    assert 2 <= ledger.read_text().count("run") <= 6, "it is tried again, but not for ever"

    for _ in range(2):  # Looking is a delivery: it must not use the letters up.
        found = command(rabbitmq, data, "dead-letters", "list")
    died = Counter((letter["task"], letter["reason"]) for letter in found)
    assert died == {("poison", "delivery_limit"): 1, ("", "rejected"): 1, ("no.such.task", "rejected"): 1}
    assert command(rabbitmq, data, "dead-letters", "list", "--queue", "cpu") == []

    assert command(rabbitmq, data, "dead-letters", "requeue") == {"requeued": 3}
    eventually(lambda: rabbitmq.filled_queues() == {f"gpu.{topology.VERSION}": 3})
    with Connection(rabbitmq.url) as connection:
        queue = next(queue for queue in topology.work_queues() if queue.alias == "gpu")(connection.default_channel)
        messages = [queue.get() for _ in range(3)]
        assert {message.headers.get("task") for message in messages} == {"poison", "no.such.task", None}
        assert not any("x-death" in message.headers for message in messages), "as new"
        for message in messages:
            message.reject()
    eventually(lambda: rabbitmq.filled_queues() == {f"gpu.dead.{topology.VERSION}": 3})
    assert command(rabbitmq, data, "dead-letters", "drop") == {"dropped": 3}
    assert rabbitmq.filled_queues() == {}


def test_a_body_that_is_no_tasks_neither_stops_the_worker_nor_comes_back(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    with Connection(rabbitmq.url) as connection:
        list(topology.declare(connection))
        with worker(rabbitmq, tmp_path / "data"):
            # First: the worker takes one message at a time, and has acknowledged these when it is given the others.
            for arguments in NONSENSE:
                publish(connection, [arguments, {}, {}], headers={"lang": "py", "task": "chunk", "id": "n" * 8})
            for body in GARBAGE:
                headers = {"lang": "py", "task": "chunk", "id": "g" * 8}
                publish(connection, body, headers=headers, content_type="application/json", content_encoding="utf-8")
            eventually(lambda: rabbitmq.filled_queues() == {f"gpu.dead.{topology.VERSION}": len(GARBAGE)})
        letters = dead_letters.look(connection)
        assert {(letter.task, letter.reason) for letter in letters} == {("chunk", "rejected")}
        assert dead_letters.drop(connection) == len(GARBAGE)
