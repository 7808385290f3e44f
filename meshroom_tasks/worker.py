"""What a worker does before it takes its first task."""

from __future__ import annotations

from typing import Any

from celery import signals

from meshroom_tasks.callbacks import check_schedule, check_secret
from meshroom_tasks.engine import kill_leftovers
from meshroom_tasks.handoff import clean_workspaces
from meshroom_tasks.logs import logger
from meshroom_tasks.settings import current_settings

log = logger(__name__)


@signals.worker_init.connect
def prepare(**_: Any) -> None:
    """Refuse settings that would fail at the first callback; clear away what killed workers have left.

    Raises ValueError for a bad secret or schedule.
    """
    settings = current_settings()
    check_secret(settings.webhook_secret.get_secret_value())
    check_schedule(settings.callback_schedule)
    killed, removed = kill_leftovers(), clean_workspaces(settings.workspace)
    if killed or removed:
        log.warning("cleared away what killed workers had left", processes=killed, folders=removed)
