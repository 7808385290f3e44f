"""What monitors such as Flower are told of a task that runs.

Its message named a step, and the task runs the best one of that step's queue. Where this is another, the name that its
monitors show is corrected. On a thread: a broker that is silent must hold up no step.
"""

from __future__ import annotations

import threading

from celery import Task

from meshroom_tasks.celery_app import app
from meshroom_tasks.logs import logger

log = logger(__name__)


def tell_name(task: Task, name: str) -> None:
    """Say what the running `task` is really about. Never raises."""
    request = task.request
    threading.Thread(target=_send, args=(request.hostname, request.id, name), name="monitors", daemon=True).start()


def _send(worker: str, task_id: str, name: str) -> None:
    try:
        with app.events.default_dispatcher(hostname=worker) as dispatcher:
            dispatcher.send("task-started", uuid=task_id, name=name, retry=False)
    except Exception as error:
        log.warning("monitors show another name for this task", task_id=task_id, name=name, error=str(error))
