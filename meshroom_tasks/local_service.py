"""The whole service on this machine: web app, workers, sweeper and Flower as child processes of one supervisor.

`python -m meshroom_tasks.local_service` runs it until Ctrl-C. A child that dies is started again; when the supervisor
ends, by whatever signal, so do all children.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import requests
from rich.console import Console

from meshroom_tasks.file_broker import forget_event_queues
from meshroom_tasks.settings import PROJECT, Settings, load_settings, python_path

_PR_SET_PDEATHSIG = 1
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 12.0
_START_SECONDS = 90.0
_LIGHT_PROCESSES = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Child:
    name: str
    command: Sequence[str]
    ready_file: Path
    """Where a worker says that it takes tasks."""
    process: subprocess.Popen[bytes] | None = None
    restart_at: float = field(default=0.0)


class LocalService:
    """Start, watch over and stop the processes. Their output goes to `<data dir>/logs/<name>.log`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.api_key = settings.x_api_key.get_secret_value() or _kept_key(settings.data_dir / "api_key")
        self._logs = settings.data_dir / "logs"
        self._run = settings.data_dir / "run"
        self.children = [
            Child(name, command, self._run / f"{name}.ready") for name, command in self._commands().items()
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._run.mkdir(parents=True, exist_ok=True)
        _upgrade_database(self.settings)
        for folder in self.settings.file_broker_folders:
            shutil.rmtree(folder, ignore_errors=True)  # Hints of the last run; the sweeper sends those that count.
        for child in self.children:
            self._spawn(child)

    def wait_until_ready(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Whether within a minute and a half the service answers on /readyz and its workers take tasks."""
        deadline = time.monotonic() + _START_SECONDS
        workers = [child.ready_file for child in self.children if child.name.startswith("worker")]
        while time.monotonic() < deadline and not stopped():
            self.keep_alive()
            if all(file.exists() for file in workers) and self._answers():
                return True
            time.sleep(0.2)
        return False

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def keep_alive(self) -> None:
        """Start again what has died."""
        now = time.monotonic()
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            if not child.restart_at:
                child.restart_at = now + _RESTART_SECONDS
            elif now >= child.restart_at:
                self._spawn(child)

    def stop(self) -> None:
        """Ask all to stop; after a grace, kill what is left with everything it started."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            _signal_group(process, signal.SIGTERM, whole_group=False)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in running:
            _signal_group(process, signal.SIGKILL, whole_group=True)
            process.wait()

    def _commands(self) -> dict[str, Sequence[str]]:
        python, settings = sys.executable, self.settings
        celery = (python, "-m", "celery", "-A", "meshroom_tasks")
        return {
            "web": (python, "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.app:create_app()"),
            "sweeper": (python, "-m", "meshroom_tasks.sweeper"),
            "worker-light": (
                *(*celery, "worker", "-E", "-n", "light@%h", "-c", str(_LIGHT_PROCESSES), "-Q", "ingest,callback"),
                *("--without-gossip", "--without-mingle"),
            ),
            "worker-stages": (
                *(*celery, "worker", "-E", "-n", "stages@%h", "-c", str(settings.worker_processes)),
                *("-Q", ",".join(settings.worker_queues), "--without-gossip", "--without-mingle"),
            ),
            "flower": (*celery, "flower", "--address=127.0.0.1", f"--port={settings.flower_port}"),
        }

    def _environment(self, child: Child) -> Mapping[str, str]:
        return {
            **os.environ,
            **self.settings.as_environment(),
            "X_API_KEY": self.api_key,
            "FLOWER_BASIC_AUTH": f"admin:{self.api_key}",
            "REMAP_SIGTERM": "SIGQUIT",  # A worker that is told to stop gives its steps back instead of ending them.
            "PYTHONPATH": python_path(),
            "WORKER_READY_FILE": str(child.ready_file),
        }

    def _spawn(self, child: Child) -> None:
        child.restart_at = 0.0
        child.ready_file.unlink(missing_ok=True)
        if child.name == "flower":
            forget_event_queues(*self.settings.file_broker_folders)
        with (self._logs / f"{child.name}.log").open("ab") as log:
            child.process = subprocess.Popen(
                child.command,
                cwd=PROJECT,
                env=self._environment(child),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals, *, whole_group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if whole_group else os.kill)(process.pid, number)


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


def main() -> int:
    console = Console(soft_wrap=True)
    service = LocalService(load_settings())
    stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        with console.status("starting the service ..."):
            service.start()
            ready = service.wait_until_ready(lambda: stopped)
        if not ready and not stopped:
            console.print(f"The service did not start; see {service.settings.data_dir / 'logs'}.")
            return 1
        if not stopped:
            _tell(console, service)
        while not stopped:
            service.keep_alive()
            time.sleep(0.3)
        return 0
    finally:
        with console.status("stopping ..."):
            service.stop()


def _tell(console: Console, service: LocalService) -> None:
    settings = service.settings
    console.print(f"service   {service.url}   (API documentation: {service.url}/docs)")
    console.print(
        f"API key   {settings.data_dir / 'api_key' if not settings.x_api_key.get_secret_value() else 'as set'}"
    )
    console.print(f"Flower    http://127.0.0.1:{settings.flower_port}   (user admin, password: the API key)")
    console.print(f"logs      {settings.data_dir / 'logs'}")
    console.print("Ctrl-C stops all.")


if __name__ == "__main__":
    sys.exit(main())
