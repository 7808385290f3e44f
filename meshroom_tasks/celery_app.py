"""The Celery application, and what happens around every task: logging, ids, a clean stop."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from celery import Celery, Task, signals
from celery.app.amqp import AMQP, task_message

from meshroom_tasks.errors import BrokerUnavailable
from meshroom_tasks.logs import bind, clear, configure_logging, logger
from meshroom_tasks.settings import current_settings

log = logger(__name__)


class _Messages(AMQP):
    """Monitors see one name of a task, before a worker has it and afterwards."""

    def as_task_v2(self, *arguments: Any, **options: Any) -> task_message:
        message = super().as_task_v2(*arguments, **options)
        if message.sent_event and (label := message.headers["shadow"]):
            message.sent_event["name"] = label
        return message


app = Celery("meshroom_tasks", amqp=_Messages)
app.config_from_object("celeryconfig")

_CONNECT_SECONDS = 3


def broker_reachable() -> None:
    """Raises BrokerUnavailable when no message could be sent now."""
    try:
        with app.connection_for_write(connect_timeout=_CONNECT_SECONDS) as connection:
            connection.ensure_connection(max_retries=0, timeout=_CONNECT_SECONDS)
    except Exception as error:
        raise BrokerUnavailable("the message broker does not answer") from error


@signals.setup_logging.connect
def _configure(**_: Any) -> None:
    settings = current_settings()
    configure_logging(settings.log_level, settings.log_format)


@signals.worker_process_init.connect
def _stop_on_sigterm(**_: Any) -> None:
    """A pool process that is told to stop gives its step back on the way out, instead of dying with it."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # A second one must not interrupt the giving back.
    raise SystemExit(0)


@signals.task_prerun.connect
def _bind_ids(task: Task, task_id: str, **_: Any) -> None:
    headers = task.request.headers or {}
    bind(task=task.name, **{name: headers[name] for name in ("job_id", "request_id") if name in headers})


@signals.task_postrun.connect
def _unbind_ids(**_: Any) -> None:
    clear()
