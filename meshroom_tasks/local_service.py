"""The whole service on this machine: web app, workers, sweeper and Flower as child processes of one supervisor.

`python -m meshroom_tasks.local_service` runs it until Ctrl-C. A child that dies is started again; when the supervisor
ends, by whatever signal, so do all children.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

import requests
from kombu import Connection
from kombu.exceptions import OperationalError
from rich.console import Console

from meshroom_tasks import topology
from meshroom_tasks.child_processes import Child, stop
from meshroom_tasks.egress import Egress, guarded_session
from meshroom_tasks.errors import BrokerUnavailable, ServiceError
from meshroom_tasks.file_broker import forget_event_queues
from meshroom_tasks.gpu import find_gpus
from meshroom_tasks.settings import Settings, load_settings, python_path
from meshroom_tasks.worker_node import CPU_NODE, VISIBLE_DEVICES, Node, cpu_nodes, gpu_nodes, light_nodes

_STOP_SECONDS = 12.0
_START_SECONDS = 180.0
_CONNECT_SECONDS = 10


class LocalService:
    """Start, watch over and stop the processes. Their output goes to `<data dir>/logs/<name>.log`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.api_key = settings.x_api_key.get_secret_value() or _kept_key(settings.data_dir / "api_key")
        self._session = guarded_session(Egress.to([f"127.0.0.1:{settings.port}"]), max_redirects=0)
        self._logs = settings.data_dir / "logs"
        self._run = settings.data_dir / "run"
        self.children = [*self._servers(), *self._workers()]

    @property
    def pages_open(self) -> bool:
        """Whether the pages need no key: as set, else where nobody said who may come, nor from where."""
        settings = self.settings
        if "pages_open" in settings.model_fields_set:
            return settings.pages_open
        return not (settings.x_api_key.get_secret_value() or settings.public_url or settings.proxy_hops)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._run.mkdir(parents=True, exist_ok=True)
        _upgrade_database(self.settings)
        for folder in self.settings.file_broker_folders:
            shutil.rmtree(folder, ignore_errors=True)  # Hints of the last run; the sweeper sends those that count.
        if not self.settings.broker.startswith("filesystem://"):
            _declare_topology(self.settings)
        for child in self.children:
            child.start()

    def wait_until_ready(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Whether within three minutes the service answers and its workers take tasks."""
        deadline = time.monotonic() + _START_SECONDS
        files = [child.ready_file for child in self.children if child.ready_file is not None]
        while time.monotonic() < deadline and not stopped() and not self.refusals:
            self.keep_alive()
            if all(file.exists() for file in files) and self._answers():
                return True
            time.sleep(0.2)
        return False

    @property
    def refusals(self) -> dict[str, str]:
        """Why workers do not take tasks, by the names of the processes that say so."""
        return {child.name: child.refusal for child in self.children if child.refusal is not None}

    def _answers(self) -> bool:
        try:
            # A connection that is kept would be waited for when the web app stops.
            return self._session.get(f"{self.url}/healthz", timeout=5, headers={"Connection": "close"}).ok
        except requests.RequestException:
            return False

    def keep_alive(self) -> None:
        """Start again what has died."""
        for child in self.children:
            child.keep_alive()

    def stop(self) -> None:
        """Ask all to stop; after a grace, kill what is left with everything it started."""
        stop(self.children, self.settings.drain_seconds + _STOP_SECONDS)

    def _servers(self) -> list[Child]:
        python, port = sys.executable, self.settings.flower_port
        flower = (python, "-m", "celery", "-A", "meshroom_tasks", "flower", "--address=127.0.0.1", f"--port={port}")
        return [
            self._child("web", (python, "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.app:create_app()")),
            self._child("sweeper", (python, "-m", "meshroom_tasks.sweeper")),
            self._child(
                "flower",
                flower,
                {"FLOWER_BASIC_AUTH": f"admin:{self.api_key}"},
                before=lambda: forget_event_queues(*self.settings.file_broker_folders),
            ),
        ]

    def _workers(self) -> list[Child]:
        """One process for what waits for others, one for each GPU, one for the stages that are left."""
        gpus = find_gpus().visible(os.environ.get(VISIBLE_DEVICES))
        found = [
            *light_nodes(),
            *(gpu_nodes(gpus, os.environ.get(VISIBLE_DEVICES)) if gpus.devices else ()),
            *cpu_nodes(self.settings, gpus),
        ]
        return [
            self._worker("worker-stages" if node.name == CPU_NODE else f"worker-{node.name}", node) for node in found
        ]

    def _worker(self, name: str, node: Node) -> Child:
        return replace(self._child(name, node.command, node.environment), ready_file=self._run / f"{name}.ready")

    def _child(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> Child:
        common = {
            **os.environ,
            **self.settings.as_environment(),
            "X_API_KEY": self.api_key,
            "PAGES_OPEN": "yes" if self.pages_open else "no",
            "PYTHONPATH": python_path(),
        }
        return Child(name, command, {**common, **(environment or {})}, log=self._logs / f"{name}.log", before=before)


class HeadlessService(LocalService):
    """Without Flower: for whoever waits for a job and looks at nothing else."""

    def _servers(self) -> list[Child]:
        return [child for child in super()._servers() if child.name != "flower"]


def _kept_key(path: Path) -> str:
    """The API key of this data folder, made on first use, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
    return path.read_text().strip()


def _upgrade_database(settings: Settings) -> None:
    from meshroom_tasks.jobs.database import Database

    database = Database(settings.database)
    database.upgrade()
    database.engine.dispose()


def _declare_topology(settings: Settings) -> None:
    """As the command `topology` of a deployment. Raises BrokerUnavailable."""
    with Connection(settings.broker, connect_timeout=_CONNECT_SECONDS) as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            list(topology.declare(connection, topology.names(settings.intensive_queue)))
        except (*connection.connection_errors, OperationalError) as error:
            raise BrokerUnavailable("RabbitMQ does not answer; check BROKER_URL") from error
        except connection.channel_errors as error:
            raise BrokerUnavailable(f"RabbitMQ refuses: {error}") from error


def main() -> int:
    console = Console(soft_wrap=True)
    service = LocalService(load_settings())
    stopped = False

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    try:
        with console.status("starting the service ..."):
            service.start()
            ready = service.wait_until_ready(lambda: stopped)
        if not ready and not stopped:
            for name, reason in service.refusals.items():
                console.print(f"{name} takes no tasks: {reason}", markup=False)
            console.print(f"The service did not start; see {service.settings.data_dir / 'logs'}.")
            return 1
        if not stopped:
            _tell(console, service)
        while not stopped:
            service.keep_alive()
            time.sleep(0.3)
        return 0
    except ServiceError as error:
        console.print(f"The service did not start: {error.message}", markup=False)
        return 1
    finally:
        with console.status("stopping ..."):
            service.stop()


def _tell(console: Console, service: LocalService) -> None:
    settings = service.settings
    console.print(f"service   {service.url}   (API documentation: {service.url}/docs)")
    if service.pages_open:
        console.print("pages     open to whoever can use this computer; PAGES_OPEN=no asks for the API key")
    console.print(
        f"API key   {settings.data_dir / 'api_key' if not settings.x_api_key.get_secret_value() else 'as set'}"
    )
    console.print(f"Flower    http://127.0.0.1:{settings.flower_port}   (user admin, password: the API key)")
    console.print(f"logs      {settings.data_dir / 'logs'}")
    console.print("Ctrl-C stops all.")


if __name__ == "__main__":
    sys.exit(main())
