"""What the tasks of one worker process share, made once and on first use."""

from __future__ import annotations

from functools import cached_property, lru_cache

import requests

from meshroom_tasks.egress import Egress, guarded_session
from meshroom_tasks.engine import Engine
from meshroom_tasks.handoff import StageCache, Workspace
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.settings import Settings, current_settings, python_path
from meshroom_tasks.storage import Storage, open_storage

_PHOTO_REDIRECTS = 3


class Service:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def store(self) -> JobStore:
        return open_store(self.settings)

    @cached_property
    def storage(self) -> Storage:
        return open_storage(self.settings)

    @cached_property
    def pipelines(self) -> Pipelines:
        """Those for the release of this worker's engine."""
        return PipelineShelf.load(self.settings.pipeline_folders).for_engine(self.engine.release())

    @cached_property
    def stage_cache(self) -> StageCache:
        return StageCache(self.storage)

    @cached_property
    def engine(self) -> Engine:
        return Engine(
            self.settings.batch_command,
            self.settings.compute_command,
            version=self.settings.engine_version,
            environment={"PYTHONPATH": python_path()},  # The engine runs in its run folder, wherever we were started.
            threads=self.settings.threads_per_engine,
        )

    @cached_property
    def photo_session(self) -> requests.Session:
        return guarded_session(Egress.to(self.settings.image_private_hosts), max_redirects=_PHOTO_REDIRECTS)

    @cached_property
    def callback_session(self) -> requests.Session:
        return guarded_session(Egress.to(self.settings.callback_private_hosts), max_redirects=0)

    def workspace(self, engine: str, photos_digest: str) -> Workspace:
        return Workspace(self.settings.workspace, engine, photos_digest)


@lru_cache(maxsize=1)
def current_service() -> Service:
    """The one of this process. Never made before the pool forks: connections must not be shared."""
    return Service(current_settings())
