"""The shipped compose file as a stranger would start it, from a copy of the checkout."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image

from demo.client import Client
from demo.scene import model, photograph, shots, write_photo
from demo.stand import free_port
from meshroom_tasks.settings import PROJECT

_UP_SECONDS = 900
_JOB_SECONDS = 1200
_NOT_COPIED = (".git", ".venv", ".env", "build", "data", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")
_PHOTOS = 9
_SMALL = (400, 300)


def docker(*arguments: str, **more: Any) -> str:
    """The output of a docker command, which must succeed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def missing_engine() -> str | None:
    """Why containers cannot be run here; None where they can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    for question in (("version",), ("compose", "version")):
        try:
            asked = subprocess.run(["docker", *question], capture_output=True, text=True, timeout=30, check=False)
        except subprocess.TimeoutExpired:
            return f"`docker {' '.join(question)}` does not answer"
        if asked.returncode != 0:
            return f"`docker {' '.join(question)}` says: {(asked.stderr.strip() or asked.stdout.strip())[-200:]}"
    return None


class Stack:
    """A running compose project, and a client container on its network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = f"meshroom-tasks-test-{secrets.token_hex(3)}"
        self.web_port, self.flower_port, self.client_port = free_port(), free_port(), free_port()
        self.photos: list[str] = []
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": os.pathsep.join(("docker-compose.yml", "tests/containers/client.yml")),
            "CLIENT_PORT": str(self.client_port),
        }

    def compose(self, *arguments: str) -> str:
        return docker("compose", *arguments, cwd=self.folder, env=self._environment)

    def prepare(self, **settings: str) -> None:
        """A copy of the checkout, `cp env.example .env`, and what this machine and these tests need to be otherwise."""
        shutil.copytree(PROJECT, self.folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        shutil.copy(self.folder / "env.example", self.folder / ".env")
        changed = {
            "PORT": str(self.web_port),
            "FLOWER_PORT": str(self.flower_port),
            "WEB_ADDRESS": "127.0.0.1",
            "IMAGE_PRIVATE_HOSTS": "client:8080",
            "CALLBACK_PRIVATE_HOSTS": "client:8080",
            "CPU_WORKERS": "1",
            **settings,
        }
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"\n{name}={value}" for name, value in changed.items())
        self.photos = _small_photos(self.folder / "photos")

    def up(self, *more: str) -> None:
        """Start what is not running, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", str(_UP_SECONDS), *more)

    def kill(self, service: str) -> None:
        self.compose("kill", "-s", "SIGKILL", service)

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        docker("rmi", "--force", f"{self.project}:cpu")

    def secret(self, name: str) -> str:
        return self.compose("exec", "-T", "sweeper", "cat", f"/run/secrets/{name}")

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of each, by its service; of several of one service, one."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def client(self) -> Client:
        return Client(self.url, self.secret("x_api_key"))

    def submit(self, without: int | None = None, **more: Any) -> str:
        """A job of all photos, or of all but one: other photos are another job to the stage cache."""
        names = [name for index, name in enumerate(self.photos) if index != without]
        urls = [f"http://client:8080/{name}" for name in names]
        return self.client.submit(urls, "http://client:8080/model-is-ready", **more)

    def job(self, job_id: str) -> dict[str, Any]:
        return next(self.client.follow(job_id))

    def wait(self, job_id: str, until: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """The job once it has ended, or once `until` holds. The web app may be away for a while."""
        deadline = time.monotonic() + _JOB_SECONDS
        job: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                job = self.job(job_id)
            except (requests.RequestException, AssertionError):
                job = job or {"status": "unknown"}
            if job["status"] in ("completed", "failed", "cancelled") or (until is not None and until(job)):
                return job
            time.sleep(1)
        raise AssertionError(f"{json.dumps(job, indent=1)}\n{self.logs()}")

    def heard(self, job_id: str) -> list[dict[str, Any]]:
        """Each distinct callback of a job, when there is one at last."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            lines = requests.get(f"http://127.0.0.1:{self.client_port}/heard", timeout=10).text.splitlines()
            found = {line["webhook_id"]: line for line in map(json.loads, lines) if line["job_id"] == job_id}
            if found:
                return list(found.values())
            time.sleep(1)
        raise AssertionError(self.logs())

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "40")


@contextmanager
def running_stack(folder: Path, **settings: str) -> Iterator[Stack]:
    """Built, started and healthy; afterwards no container, network or volume of it is left."""
    stack = Stack(folder)
    stack.prepare(**settings)
    try:
        stack.up("--build")
        yield stack
    finally:
        stack.down()


def _small_photos(folder: Path) -> list[str]:
    """Neighbouring views of the demo's object, small enough that a job takes seconds."""
    folder.mkdir()
    scene, rng, names = model(), np.random.default_rng(1), []
    for index, shot in enumerate(shots()[:_PHOTOS]):
        names.append(f"jar_{index:02d}.jpg")
        write_photo(folder / names[-1], photograph(scene, shot, rng))
        with Image.open(folder / names[-1]) as photo:
            exif = photo.info["exif"]
            small = photo.resize(_SMALL, Image.Resampling.LANCZOS)
        small.save(folder / names[-1], quality=92, exif=exif)
    return names
