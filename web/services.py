"""What the views work with, made once for each app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from meshroom_tasks.celery_app import broker_reachable
from meshroom_tasks.dispatch import flush
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.settings import Settings
from meshroom_tasks.storage import Storage, open_storage

_NAME = "meshroom_tasks"


@dataclass(frozen=True)
class Services:
    """`announce` sends what the outbox holds and never fails; `check_broker` raises when no message can be sent."""

    settings: Settings
    store: JobStore
    storage: Storage
    pipelines: Pipelines
    announce: Callable[[], None]
    check_broker: Callable[[], None]


def open_services(settings: Settings) -> Services:
    store = open_store(settings)

    def announce() -> None:
        flush(store)

    return Services(
        settings=settings,
        store=store,
        storage=open_storage(settings.storage),
        pipelines=Pipelines.load(settings.pipelines_dir),
        announce=announce,
        check_broker=broker_reachable,
    )


def install(app: Flask, services: Services) -> None:
    app.extensions[_NAME] = services


def services() -> Services:
    """Those of the app that answers the current request."""
    return cast(Services, current_app.extensions[_NAME])
