"""A broker that falls silent without a word: neither side closes the connection, and nothing passes any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kombu import Connection

from meshroom_tasks import topology
from meshroom_tasks.settings import PROJECT, load_settings, python_path
from tests.servers.half_open_proxy import half_open_proxy
from tests.servers.rabbitmq import RabbitMQ
from tests.waiting import eventually

HEARTBEAT = 2


@pytest.mark.slow
def test_a_worker_that_is_cut_off_connects_anew(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    with Connection(rabbitmq.url) as connection:
        list(topology.declare(connection))
    with half_open_proxy(rabbitmq.port) as proxy:
        url = rabbitmq.url.replace(str(rabbitmq.port), str(proxy.port))
        settings = load_settings(data_dir=tmp_path, broker_url=url, broker_heartbeat_seconds=HEARTBEAT)
        with (tmp_path / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "meshroom_tasks", "worker", "-c", "1", "-Q", "callback"],
                cwd=PROJECT,
                env={**os.environ, **settings.as_environment(), "PYTHONPATH": python_path()},
                stdout=log,
                stderr=log,
            )
        try:
            eventually(lambda: rabbitmq.consumers("callback") == 1)
            assert proxy.silence()
            eventually(lambda: rabbitmq.consumers("callback") == 0)
            eventually(lambda: rabbitmq.consumers("callback") == 1, about=(tmp_path / "worker.log").read_text)
            assert worker.poll() is None
        finally:
            worker.kill()
            worker.wait()
