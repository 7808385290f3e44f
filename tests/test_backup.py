"""What docs/backup.md says: a copy made while jobs run brings all of them back, and they go on."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from meshroom_tasks.ownership import mark_of
from meshroom_tasks.storage import open_storage
from tests.deployment import Deployment, deployed
from tests.scripted_engine import Run, overlapping
from tests.servers.postgres import PostgresServer, binaries_here
from tests.servers.seaweedfs import SeaweedFS

pytestmark = pytest.mark.slow
BUCKET = "backed-up"


class Keeper(ABC):
    """Copies the database, then the objects; `destroy` leaves nothing of either."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]: ...

    @abstractmethod
    def back_up(self, folder: Path) -> None: ...

    @abstractmethod
    def destroy(self) -> None: ...

    @abstractmethod
    def restore(self, folder: Path) -> None: ...


class OfFiles(Keeper):
    """SQLite and a folder: the embedded default."""

    def __init__(self, data: Path) -> None:
        self._database, self._storage = data / "jobs.sqlite", data / "storage"

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def back_up(self, folder: Path) -> None:
        with closing(sqlite3.connect(self._database)) as connection:
            connection.execute("VACUUM INTO ?", (str(folder / "jobs.sqlite"),))
        shutil.copytree(self._storage, folder / "storage")

    def destroy(self) -> None:
        for file in self._database.parent.glob("jobs.sqlite*"):
            file.unlink()
        shutil.rmtree(self._storage)

    def restore(self, folder: Path) -> None:
        shutil.copy(folder / "jobs.sqlite", self._database)
        shutil.copytree(folder / "storage", self._storage)


class OfServers(Keeper):
    """PostgreSQL and a bucket."""

    def __init__(self, postgres: PostgresServer, seaweedfs: SeaweedFS) -> None:
        self._postgres = postgres
        self._programs = binaries_here()
        self._seaweedfs, self._client = seaweedfs, seaweedfs.client()
        self._url = postgres.new_database("empty", lambda _: None)

    @property
    def settings(self) -> dict[str, Any]:
        return {"database_url": self._url, **self._seaweedfs.settings(BUCKET)}

    def back_up(self, folder: Path) -> None:
        self._run("pg_dump", "--format=custom", f"--file={folder / 'jobs.dump'}", self._url)
        for key in self._keys():
            path = folder / "objects" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            self._client.download_file(BUCKET, key, str(path))

    def destroy(self) -> None:
        self._postgres.drop_database(self._url)
        for key in self._keys():
            self._client.delete_object(Bucket=BUCKET, Key=key)

    def restore(self, folder: Path) -> None:
        self._url = self._postgres.new_database("empty", lambda _: None)
        self._run("pg_restore", "--exit-on-error", f"--dbname={self._url}", str(folder / "jobs.dump"))
        objects = folder / "objects"
        for path in objects.rglob("*"):
            if path.is_file():
                self._client.upload_file(str(path), BUCKET, path.relative_to(objects).as_posix())

    def _keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def _run(self, program: str, *arguments: str) -> None:
        assert self._programs is not None
        subprocess.run([str(self._programs / program), *arguments], check=True, capture_output=True, timeout=120)


@pytest.fixture(params=["files", "servers"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper:
    if request.param == "files":
        return OfFiles(tmp_path / "stand" / "data")
    return OfServers(request.getfixturevalue("postgres"), request.getfixturevalue("seaweedfs"))


@pytest.fixture
def running(keeper: Keeper, tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "stand", lease_seconds=10, **keeper.settings) as deployment:
        yield deployment


def test_what_was_backed_up_comes_back_and_goes_on(running: Deployment, keeper: Keeper, tmp_path: Path) -> None:
    completed = running.submit(running.photo_urls(4, seed=1))
    assert running.wait(completed)["status"] == "completed"
    running.callback(completed)
    running.script({"stages": [{"node_type": "DepthMap", "until": str(running.gate)}]})
    halfway = running.submit(running.photo_urls(4, seed=2))
    running.computing("DepthMap")
    model = results(running, completed)

    # An engine that is told to stop may still write that it has ended: only what had before counts.
    stored = computed(running.ledger(), lambda run: run.ended is not None)
    backup = tmp_path / "backup"
    backup.mkdir()
    keeper.back_up(backup)
    afterwards = running.submit(running.photo_urls(4, seed=3))
    running.service.stop()
    installation, storage = running.store.installation().id, open_storage(running.settings)
    before = len(running.ledger())
    keeper.destroy()
    shutil.rmtree(running.settings.workspace)
    keeper.restore(backup)
    running.made.settings = running.settings = running.settings.model_copy(update=keeper.settings)
    running.open_gate()
    running.start()

    assert results(running, completed) == model
    job = running.wait(halfway)
    assert job["status"] == "completed", job
    assert running.callback(halfway)["status"] == "completed"
    runs = running.ledger()
    assert overlapping(runs) == []
    again = stored & computed(runs[before:])
    assert not again, "what was stored before is not computed again"
    assert running.store.installation().id == installation == mark_of(storage)
    unknown = requests.get(
        f"{running.service.url}/api/v1/jobs/{afterwards}", headers={"X-API-Key": running.service.api_key}, timeout=30
    )
    assert unknown.status_code == 404, "a job that came after the backup is not known; its client sends it again"


def results(running: Deployment, job_id: str) -> dict[str, bytes]:
    job = running.wait(job_id)
    assert job["status"] == "completed", job
    return {item["name"]: requests.get(item["url"], timeout=30).content for item in job["results"]}


def computed(runs: list[Run], which: Callable[[Run], bool] = lambda _: True) -> Counter[tuple[str, int]]:
    return Counter((run.uid, run.chunk) for run in runs if which(run))
