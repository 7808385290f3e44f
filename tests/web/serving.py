"""The app as it is deployed: gunicorn, real sockets, the real broker folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from meshroom_tasks.ports import free_port
from meshroom_tasks.settings import PROJECT, Settings, load_settings
from tests.servers import tied
from tests.waiting import LONG, eventually
from tests.web.conftest import KEY

HEADERS = {"X-API-Key": KEY}


@dataclass
class Server:
    """A gunicorn that may be killed and started again on the same data."""

    settings: Settings
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.settings.base_url

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def lines(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = tied.start(
                [sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.app:create_app()"],
                signal="TERM",
                cwd=PROJECT,
                env={**os.environ, **self.settings.as_environment(), **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        eventually(self._answers, about=self.log.read_text)

    def stop(self) -> None:
        self.running.terminate()
        try:
            self.running.wait(LONG)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()

    def kill(self) -> None:
        """All of its processes at once, as the kernel does when memory runs out."""
        os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait(LONG)

    def _answers(self) -> bool:
        assert self.running.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}/healthz", timeout=60).ok
        except requests.ConnectionError:
            return False


@contextmanager
def serving(folder: Path, *, environment: Mapping[str, str] | None = None, **settings: Any) -> Iterator[Server]:
    """A server that answers, with its data and its log below `folder`; stopped at the end of the block."""
    values = {"data_dir": folder / "data", "port": free_port(), "log_format": "json", "web_workers": 1, **settings}
    server = Server(load_settings(x_api_key=KEY, **values), folder / "web.log", environment or {})
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
