"""The real app over a real store (SQLite) and real local storage; only messages to workers go nowhere."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from meshroom_tasks.api_keys import DEFAULT_TENANT, Scope
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.records import ResultFile
from meshroom_tasks.jobs.store import open_store
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.settings import Settings, load_settings
from meshroom_tasks.storage import open_storage
from tests.databases import new_sqlite
from web.app import create_app
from web.readiness import Checkups
from web.recent import Recent
from web.services import Services, web_storage

KEY = "a-key-for-tests-1234567890"
IMAGES = [f"https://photos.example.com/{index}.jpg" for index in range(3)]

_MEDIA_TYPES = {".obj": "model/obj", ".glb": "model/gltf-binary", ".png": "image/png", ".json": "application/json"}


@dataclass
class Site:
    """The app with what stands behind it. `announced` counts how often workers were told to look."""

    settings: Settings
    announced: list[None] = field(default_factory=list)
    broker_error: Exception | None = None

    def __post_init__(self) -> None:
        file = self.settings.data_dir / "jobs.sqlite"
        if not self.settings.database_url and not file.exists():
            new_sqlite(file)
        self.store = open_store(self.settings)
        self.storage = open_storage(self.settings)
        self.parts = Services(
            self.settings,
            self.store,
            web_storage(self.storage),
            PipelineShelf.load(self.settings.pipeline_folders),
            lambda: self.announced.append(None),
            self._check_broker,
            recent=Recent(clock=itertools.count(step=1000).__next__),  # Nothing is remembered.
            checkups=Checkups(clock=itertools.count(step=1000).__next__),
        )
        self.app = create_app(self.settings, self.parts)

    def _check_broker(self) -> None:
        if self.broker_error is not None:
            raise self.broker_error

    def visitor(self) -> FlaskClient:
        """A client without a key."""
        return self.app.test_client()

    def client(self, scopes: Collection[Scope] | None = None, tenant: str = DEFAULT_TENANT) -> FlaskClient:
        """A client with the key of the settings; with `scopes`, one with a key of its own."""
        client = self.app.test_client()
        key = KEY if scopes is None else self.store.create_key(tenant, scopes)[0].text
        client.environ_base["HTTP_X_API_KEY"] = key
        return client

    def submit(self, **more: Any) -> str:
        answer = self.client().post("/api/v1/reconstruct", json={"image_urls": IMAGES, **more})
        assert answer.status_code == 202, answer.get_json()
        return str(answer.get_json()["job_id"])

    def write(self, job_id: str, **values: Any) -> None:
        """Change the job's row, as workers would in the end."""
        with self.store.database.transaction() as connection:
            connection.execute(sa.update(tables.job).where(tables.job.c.id == job_id).values(**values))

    def finish(self, job_id: str, files: dict[str, bytes]) -> None:
        """End the job with these results, stored where results are stored."""
        results = []
        for name, data in files.items():
            key = f"results/{job_id}/{name}"
            self.storage.put_bytes(key, data)
            media_type = _MEDIA_TYPES[Path(name).suffix]
            results.append(asdict(ResultFile(name, key, len(data), hashlib.sha256(data).hexdigest(), media_type)))
        self.write(job_id, status="completed", results=results)


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., Site]:
    def make(**overrides: Any) -> Site:
        return Site(load_settings(**{"x_api_key": KEY, "data_dir": tmp_path / "data", **overrides}))

    return make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def client(site: Site) -> FlaskClient:
    return site.client()


@pytest.fixture
def visitor(site: Site) -> FlaskClient:
    return site.visitor()
