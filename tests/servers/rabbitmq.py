"""A private RabbitMQ node for tests, with the configuration that is shipped in deploy/.

Its ports, data, logs, cookie and port mapper are its own: it disturbs no other node of the machine, and leaves nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kombu import Connection

from meshroom_tasks import topology
from meshroom_tasks.ports import free_port
from meshroom_tasks.settings import PROJECT
from tests.servers import apt, tied

_SERVER_FOLDERS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"), Path("/usr/local/sbin"))
_PACKAGE = "rabbitmq-server"
_START_SECONDS = 120
_STOP_SECONDS = 60


class RabbitMQ:
    def __init__(self, folder: Path, scripts: Path) -> None:
        self.folder = folder
        self.port, self._mapper_port, self._node_port = free_port(), free_port(), free_port()
        self._scripts = scripts
        self._process: subprocess.Popen[bytes] | None = None
        # Started here, so that it can be ended here: the node's own would be a daemon.
        self._mapper = tied.start(["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"])

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Returns when clients can connect."""
        with (self.folder / "output.log").open("ab") as output:
            self._process = tied.start(
                [str(self._scripts / "rabbitmq-server")],
                signal="TERM",  # To a script, which then stops the node.
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            alive = self._process.poll() is None
            assert alive and time.monotonic() < deadline, (self.folder / "output.log").read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        """As an operator does: the node closes what it has open."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers. The server's own: the wrapper on PATH changes the user."""
        command = [str(self._scripts / "rabbitmqctl"), "--quiet", *arguments]
        return subprocess.run(command, env=self._environment(), check=True, capture_output=True, text=True).stdout

    def filled_queues(self) -> dict[str, int]:
        """How many messages wait in each of the service's queues; those that have none are left out."""
        counts = {}
        with Connection(self.url) as connection:
            for queue in (*topology.work_queues(), *topology.dead_queues().values()):
                counts[queue.name] = queue(connection.default_channel).queue_declare(passive=True).message_count
        return {name: count for name, count in counts.items() if count}

    def consumers(self, alias: str) -> int:
        """How many workers take messages of that work queue."""
        (queue,) = topology.work_queues([alias])
        with Connection(self.url) as connection:
            return int(queue(connection.default_channel).queue_declare(passive=True).consumer_count)

    def close(self) -> None:
        self.kill()
        self._mapper.kill()
        self._mapper.wait()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(_STOP_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
            return True
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(PROJECT / "deploy" / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",  # No busy waiting.
        }


@contextmanager
def private_rabbitmq(folder: Path, scripts: Path) -> Iterator[RabbitMQ]:
    """A started node that keeps everything below `folder`; killed at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    node = RabbitMQ(folder, scripts)
    try:
        node.start()
        yield node
    finally:
        node.close()


def server_scripts() -> Path | None:
    """The folder of RabbitMQ's own scripts; installed by apt when that is possible here."""
    if (found := _scripts()) is None:
        apt.install(_PACKAGE)
        found = _scripts()
    return found


def _scripts() -> Path | None:
    return next((folder for folder in _SERVER_FOLDERS if (folder / "rabbitmq-server").is_file()), None)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """One node for the whole run; a test that stops it starts it again."""
    if (scripts := server_scripts()) is None:
        pytest.skip(f"RabbitMQ is missing: install the Debian package {_PACKAGE}, or run the tests as root on Debian")
    with private_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), scripts) as node:
        yield node
