"""What the tasks of one worker process share, made once and on first use."""

from __future__ import annotations

from functools import cached_property, lru_cache

import requests

from meshroom_tasks.egress import Egress, guarded_session
from meshroom_tasks.engine import Engine
from meshroom_tasks.handoff import Room, StageCache
from meshroom_tasks.handoff.preparation import Preparation
from meshroom_tasks.jobs.records import Work
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.settings import Settings, current_settings, python_path
from meshroom_tasks.storage import ClientPhotos, Storage, open_client_photos, open_storage

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
    def client_photos(self) -> ClientPhotos | None:
        return open_client_photos(self.settings)

    @cached_property
    def callback_session(self) -> requests.Session:
        return guarded_session(Egress.to(self.settings.callback_private_hosts), max_redirects=0)

    @cached_property
    def room(self) -> Room:
        settings = self.settings
        return Room(settings.workspace, settings.workspace_max_bytes, settings.workspace_keep_free_bytes)

    @cached_property
    def preparation(self) -> Preparation:
        return Preparation(self.storage, self.stage_cache, self.room, self._expected_output)

    def _expected_output(self, work: Work) -> float | None:
        """Bytes that chunks like this one have left so far."""
        experience = self.store.experience(work.engine, work.node_type) if work.kind == "chunk" else None
        return experience.output_bytes_for(work.views) if experience is not None else None


@lru_cache(maxsize=1)
def current_service() -> Service:
    """The one of this process. Never made before the pool forks: connections must not be shared."""
    return Service(current_settings())
