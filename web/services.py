"""What the views work with, made once for each app."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import cast

from flask import Flask, current_app

from meshroom_tasks.celery_app import broker_reachable
from meshroom_tasks.dispatch import flush
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.settings import Settings
from meshroom_tasks.storage import ScopedStorage, Storage, open_storage
from meshroom_tasks.storage.identities import WEB_REMOVES, WEB_WRITES
from web.announcing import Announcer
from web.downloads import Sending
from web.event_stream import Streams
from web.readiness import Checkups
from web.receiving import Receiving
from web.recent import Recent
from web.slots import Slots

_NAME = "meshroom_tasks"
THREADS = 108
MOST_STREAMS, MOST_STREAMS_OF_ONE = 24, 16
MOST_WATCHERS, MOST_WATCHERS_OF_ONE = 16, 12
MOST_UPLOADS, MOST_UPLOADS_OF_ONE = 12, 8
MOST_DOWNLOADS, MOST_DOWNLOADS_OF_ONE = 24, 16
MOST_BODIES, MOST_BODIES_OF_ONE = 24, 16
"""Open event streams, pages that are told of changes, files that are received, files that are sent, and other bodies
that are being read, of one process and of one of its tenants; the other threads answer everybody else."""
_ENGINE_SECONDS = 2.0
_PATIENCE = 10.0  # Seconds that a request may wait for the object store.


@dataclass(frozen=True)
class Services:
    """`announce` has what the outbox holds sent, and never fails or waits; `check_broker` raises when no message can be
    sent.
    """

    settings: Settings
    store: JobStore
    storage: Storage
    shelf: PipelineShelf
    announce: Callable[[], None]
    check_broker: Callable[[], None]
    streams: Streams = field(default_factory=lambda: Streams(MOST_STREAMS, MOST_STREAMS_OF_ONE))
    watching: Streams = field(default_factory=lambda: Streams(MOST_WATCHERS, MOST_WATCHERS_OF_ONE))
    receiving: Receiving = field(default_factory=lambda: Receiving(MOST_UPLOADS, MOST_UPLOADS_OF_ONE))
    reading: Slots = field(default_factory=lambda: Slots(MOST_BODIES, MOST_BODIES_OF_ONE))
    sending: Sending = field(default_factory=lambda: Sending(MOST_DOWNLOADS, MOST_DOWNLOADS_OF_ONE))
    recent: Recent = field(default_factory=Recent)
    checkups: Checkups = field(default_factory=Checkups)

    @property
    def pipelines(self) -> Pipelines:
        """Those for the engine in use: as set, else that of the worker that started last, of those that are there."""
        return self.shelf.for_engine(
            self.settings.engine_version or self.recent.get("engine", (), _ENGINE_SECONDS, self._announced_engine)
        )

    def _announced_engine(self) -> str:
        there = [worker for worker in self.store.workers() if worker.engine and worker.state not in ("lost", "refused")]
        return max(there, key=lambda worker: worker.started_at).engine or "" if there else ""


def open_services(settings: Settings) -> Services:
    store = open_store(settings)
    return Services(
        settings=settings,
        store=store,
        storage=web_storage(open_storage(settings, patience=_PATIENCE)),
        shelf=PipelineShelf.load(settings.pipeline_folders),
        announce=Announcer(lambda most: flush(store, most)),
        check_broker=broker_reachable,
    )


def web_storage(storage: Storage) -> Storage:
    """What the web app may do with it."""
    return ScopedStorage(storage, WEB_WRITES, WEB_REMOVES)


def install(app: Flask, services: Services) -> None:
    app.extensions[_NAME] = services


def end_streams_on_stop(app: Flask) -> None:
    """Have SIGTERM end the event streams before the server waits for the requests that are open."""
    parts, stop = cast(Services, app.extensions[_NAME]), signal.getsignal(signal.SIGTERM)

    def end_streams(number: int, frame: FrameType | None) -> None:
        parts.streams.close()
        parts.watching.close()
        if callable(stop):
            stop(number, frame)

    signal.signal(signal.SIGTERM, end_streams)


def services() -> Services:
    """Those of the app that answers the current request."""
    return cast(Services, current_app.extensions[_NAME])
