"""What a worker does before it takes its first task, and how it says that it takes tasks now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import signals

from meshroom_tasks.callbacks import check_schedule, check_secret
from meshroom_tasks.engine import kill_leftovers
from meshroom_tasks.handoff import clean_workspaces
from meshroom_tasks.jobs.database import DatabaseUnavailable, SchemaOutdated
from meshroom_tasks.jobs.store import open_database
from meshroom_tasks.logs import logger
from meshroom_tasks.settings import Settings, current_settings

log = logger(__name__)

READY_FILE = "WORKER_READY_FILE"
"""Names a file that is there while the worker takes tasks: for supervisors and container health checks."""


@signals.worker_init.connect
def prepare(**_: Any) -> None:
    """Refuse settings that would fail at the first callback; clear away what killed workers have left.

    Raises ValueError for a bad secret or schedule.
    """
    settings = current_settings()
    _check_database(settings)
    check_secret(settings.webhook_secret.get_secret_value())
    check_schedule(settings.callback_schedule)
    killed, removed = kill_leftovers(), clean_workspaces(settings.workspace)
    if killed or removed:
        log.warning("cleared away what killed workers had left", processes=killed, folders=removed)


def _check_database(settings: Settings) -> None:
    """Raises SystemExit when the migrations have not been run. A server that is away now may come back."""
    database = open_database(settings)
    try:
        if not database.is_sqlite:
            database.require_current()
    except SchemaOutdated as error:
        raise SystemExit(error.message) from error
    except DatabaseUnavailable as error:
        log.warning("starting without the database", error=error.message, cause=str(error.__cause__))
    finally:
        database.engine.dispose()  # The pool's processes must not inherit a connection.


@signals.worker_ready.connect
def say_ready(**_: Any) -> None:
    if (name := os.environ.get(READY_FILE)) is not None:
        Path(name).touch()


@signals.worker_shutting_down.connect
def say_not_ready(**_: Any) -> None:
    if (name := os.environ.get(READY_FILE)) is not None:
        Path(name).unlink(missing_ok=True)
