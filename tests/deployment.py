"""The whole service in its own processes, with the test engine, a server that offers photos, and a receiver."""

from __future__ import annotations

import json
import queue
import shlex
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from demo.stand import Stand, stand
from meshroom_tasks.child_processes import Child
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.local_service import HeadlessService, LocalService
from meshroom_tasks.settings import Settings

from . import scripted_engine
from .scripted_engine import Run
from .waiting import LONG, eventually
from .wardens import wardens_in


class Deployment:
    """A running stand. The script of the test engine may be changed at any time.

    `gate`: a file that is not there, for the engine's "until"; `open_gate` makes it.
    """

    def __init__(self, folder: Path, made: Stand) -> None:
        self.folder = folder
        self.made = made
        self.photos, self.receiver, self.settings = made.photos, made.receiver, made.settings
        self.client, self.url_of = made.client, made.url_of
        self.gate = folder / "gate"
        self._callbacks: list[dict[str, Any]] = []

    @property
    def service(self) -> LocalService:
        return self.made.service

    @property
    def store(self) -> JobStore:
        return open_store(self.settings)

    def script(self, content: Mapping[str, Any]) -> None:
        (self.folder / "script.json").write_text(json.dumps(content))

    def ledger(self) -> list[Run]:
        return scripted_engine.read_ledger(self.folder / "ledger")

    def open_gate(self) -> None:
        self.gate.touch()

    def close_gate(self) -> None:
        self.gate.unlink(missing_ok=True)

    def start(self) -> None:
        self.made.restarted()
        assert self.service.wait_until_ready(), self.logs()

    def photo_urls(self, count: int = 4, seed: int = 0) -> list[str]:
        return [self.url_of(name) for name in write_photos(self.photos, count, seed)]

    def submit(self, urls: Sequence[str] | None = None, **more: Any) -> str:
        return self.client.submit(urls or self.photo_urls(), self.receiver.url, **more)

    def wait(
        self, job_id: str, *, seconds: float = 2 * LONG, until: Callable[[dict[str, Any]], bool] | None = None
    ) -> Any:
        """The job once it has ended, or once `until` holds."""
        deadline = time.monotonic() + seconds
        for job in self.client.follow(job_id):
            self.service.keep_alive()
            if until is not None and until(job):
                return job
            assert time.monotonic() < deadline, f"{json.dumps(job, indent=1)}\n{self.logs()}"
        assert until is None, f"the job ended before: {json.dumps(job, indent=1)}"
        return job

    def callback(self, job_id: str, seconds: float = LONG) -> dict[str, Any]:
        """The next callback of this job, whatever comes for others meanwhile."""
        deadline = time.monotonic() + seconds
        while not (mine := [body for body in self._callbacks if body["job_id"] == job_id]):
            try:
                self._callbacks.append(self.receiver.wait(max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no callback for {job_id} in {seconds:g} s\n{self.logs()}") from None
        self._callbacks.remove(mine[0])
        return mine[0]

    def more_callbacks(self, job_ids: Collection[str], seconds: float = 3.0) -> Counter[str]:
        """How many come for these jobs within this time."""
        with suppress(queue.Empty):
            while True:
                self._callbacks.append(self.receiver.wait(seconds))
        return Counter(body["job_id"] for body in self._callbacks if body["job_id"] in job_ids)

    def computing(self, node_type: str, count: int = 1) -> list[Run]:
        """Waits until so many runs of stages of this type are there that have started and not ended.

        A stage runs from its claim on; its process comes a moment later.
        """

        def runs() -> list[Run]:
            alive = {process.pid for process in self.engine_processes()}
            found = [run for run in self.ledger() if run.node_type == node_type and run.pid in alive and not run.ended]
            return found if len(found) >= count else []

        return eventually(runs, about=self.logs)

    def logs(self) -> str:
        parts = []
        for path in sorted((self.settings.data_dir / "logs").glob("*.log")):
            parts.append(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:]))
        return "\n".join(parts)

    def engine_processes(self) -> list[psutil.Process]:
        """Every live process of the test engine that belongs to this deployment."""
        return processes_mentioning(str(self.folder))

    def stage_processes(self) -> list[psutil.Process]:
        """Those of them that compute a stage, with their wardens."""
        return [*processes_mentioning(f"{self.settings.workspace}/"), *wardens_in(self.settings.workspace)]

    def command_lines_below(self, pid: int) -> list[str]:
        """Of all living processes below one, whatever session they are in."""
        lines = []
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(pid).children(recursive=True):
                with suppress(psutil.Error):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        lines.append(" ".join(process.cmdline()))
        return lines

    def worker(self, name: str = "worker-stages") -> Child:
        return next(child for child in self.service.children if child.name == name)


def processes_mentioning(text: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        arguments = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(text in argument for argument in arguments):
            found.append(process)
    return found


def write_photos(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Small JPEG files, each with other content."""
    names = []
    for index in range(count):
        name = f"photo_{seed}_{index}.jpg"
        pixels = np.random.default_rng([seed, index]).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, quality=90)
        names.append(name)
    return names


def stages_running(*node_types: str) -> Callable[[dict[str, Any]], bool]:
    """For `Deployment.wait`: a stage of one of these types is running."""

    def running(job: dict[str, Any]) -> bool:
        return any(stage["node_type"] in node_types and stage["state"] == "running" for stage in job["stages"])

    return running


@contextmanager
def deployed(
    folder: Path,
    *,
    script: Mapping[str, Any] | None = None,
    make_service: Callable[[Settings], LocalService] = HeadlessService,
    **settings: Any,
) -> Iterator[Deployment]:
    """A running deployment below `folder`; afterwards none of its processes is left.

    A test that kills workers sets a short lease; in any other a worker that gets no time must not lose its step.
    """
    photos = folder / "photos"
    photos.mkdir(parents=True)
    (folder / "script.json").write_text(json.dumps(script or {}))
    values = {
        "cpu_workers": 2,
        "web_workers": 1,
        "heartbeat_seconds": 0.5,
        "sweep_seconds": 0.5,
        "hint_seconds": 2.0,
        **_engine_commands(folder),
        **settings,
    }
    with stand(folder / "data", photos, make_service=make_service, **values) as made:
        deployment = Deployment(folder, made)
        deployment.start()
        yield deployment
    eventually(lambda: not processes_mentioning(str(folder)), about=lambda: processes_mentioning(str(folder)))


def _engine_commands(folder: Path) -> dict[str, str]:
    told = ("env", f"SCRIPTED_ENGINE={folder / 'script.json'}", f"SCRIPTED_ENGINE_LEDGER={folder / 'ledger'}")
    batch, compute = scripted_engine.commands()
    return {"meshroom_batch": shlex.join([*told, *batch]), "meshroom_compute": shlex.join([*told, *compute])}
