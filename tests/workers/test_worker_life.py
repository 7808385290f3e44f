"""A worker's life on a real broker, told by pytest-celery's nodes over worker processes instead of containers."""

from __future__ import annotations

import os
import signal as _signals
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from kombu import Connection
from pytest_celery import CeleryTestWorker, CeleryWorkerCluster

from meshroom_tasks import topology
from meshroom_tasks.child_processes import READY_FILE
from meshroom_tasks.jobs.migrate import main as migrate
from meshroom_tasks.settings import PROJECT, python_path
from meshroom_tasks.worker_node import light_nodes
from tests.servers import tied
from tests.servers.rabbitmq import RabbitMQ, rabbitmq

__all__ = ["rabbitmq"]

_SECONDS = 120


class WorkerProcess:
    """What pytest-celery asks of a container, answered by a process: `celery worker` as worker_node.py starts it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.id = uuid.uuid4().hex
        self.name = f"callback-{self.id[:6]}"
        self.ready_file = folder / f"{self.name}.ready"
        self._log = folder / f"{self.name}.log"
        (self._node,) = light_nodes(self.name, ("callback",))
        self._environment = {**environment, **self._node.environment, READY_FILE: str(self.ready_file)}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = tied.start(
                self._node.command,
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def status(self) -> str:
        return "running" if self.process.poll() is None else "exited"

    def logs(self) -> str:
        return self._log.read_text(errors="replace")

    def ready(self) -> bool:
        wait_until(lambda: self.ready_file.exists() or self.status == "exited", self.logs)
        return self.status == "running"

    def kill(self, signal: str) -> None:
        self.process.send_signal(getattr(_signals, signal))
        self.process.wait(_SECONDS)

    def restart(self, timeout: int) -> None:
        if self.status == "running":
            self.kill("SIGTERM")
        self.ready_file.unlink(missing_ok=True)
        self.start()

    def reload(self) -> None:
        """There is nothing to be asked anew."""

    def teardown(self) -> None:
        family = [self.process.pid, *(child.pid for child in self._children())]
        for pid in family:
            try:
                os.kill(pid, _signals.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(_SECONDS)

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def wait_until(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryWorkerCluster]:
    folder = tmp_path_factory.mktemp("workers")
    environment = {
        **os.environ,
        "BROKER_URL": rabbitmq.url,
        "DATABASE_URL": f"sqlite:///{folder / 'jobs.sqlite'}",
        "DATA_DIR": str(folder / "data"),
        "PYTHONPATH": python_path(),
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DATABASE_URL", environment["DATABASE_URL"])
        assert migrate([]) == 0
    with Connection(rabbitmq.url) as connection:
        list(topology.declare(connection))
    app = Celery(broker=rabbitmq.url)
    made = CeleryWorkerCluster(*(CeleryTestWorker(WorkerProcess(folder, environment), app) for _ in range(2)))
    try:
        assert all(worker.ready() for worker in made)
        yield made
    finally:
        made.teardown()


def answering(worker: Any) -> bool:
    return bool(worker.app.control.inspect(timeout=2).ping([f"{worker.name()}@{os.uname().nodename}"]))


def still_alive(worker: Any) -> None:
    """The ready file gets younger."""
    file = worker.container.ready_file
    wait_until(file.exists, worker.logs)
    seen = file.stat().st_mtime
    wait_until(lambda: file.exists() and file.stat().st_mtime > seen, worker.logs)


def test_each_says_that_it_lives(cluster: CeleryWorkerCluster) -> None:
    for worker in cluster:
        still_alive(worker)
        wait_until(lambda: answering(worker), worker.logs)  # noqa: B023  (called at once)


def test_one_that_was_killed_comes_back_under_its_name(cluster: CeleryWorkerCluster) -> None:
    killed, other = cluster[0], cluster[1]
    killed.kill()
    assert killed.container.status == "exited"
    still_alive(other)
    killed.restart()
    assert killed.ready()
    wait_until(lambda: answering(killed), killed.logs)
    killed.assert_log_does_not_exist("RESOURCE_LOCKED")


def test_a_frozen_one_shows_no_sign_of_life(cluster: CeleryWorkerCluster) -> None:
    frozen, other = cluster[0], cluster[1]
    process = psutil.Process(frozen.container.process.pid)
    process.suspend()
    try:
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, frozen.logs)
        seen = frozen.container.ready_file.stat().st_mtime
        still_alive(other)
        still_alive(other)
        assert frozen.container.ready_file.stat().st_mtime == seen
    finally:
        process.resume()
    still_alive(frozen)


def test_signs_of_life_come_again_with_the_broker(cluster: CeleryWorkerCluster, rabbitmq: RabbitMQ) -> None:
    rabbitmq.restart()
    for worker in cluster:
        still_alive(worker)


def test_one_that_is_told_to_stop_is_not_ready(cluster: CeleryWorkerCluster) -> None:
    stopped = cluster[1]
    stopped.kill("SIGTERM")
    assert stopped.container.process.returncode == 0, stopped.logs()
    assert not stopped.container.ready_file.exists()
