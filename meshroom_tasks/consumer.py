"""Celery's consumer of a worker, for a broker with dead-letter queues and a supervisor that looks at a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker import consumer

from meshroom_tasks.child_processes import renew_ready_file
from meshroom_tasks.logs import logger

log = logger(__name__)

_DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
_RENEW_SECONDS = 5.0


class Liveness(bootsteps.StartStopStep):
    """Renews the ready file from the loop that takes tasks: when it hangs or has no broker, the file grows old."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._timer = consumer.timer.call_repeatedly(_RENEW_SECONDS, renew_ready_file)

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop


class Consumer(consumer.Consumer):
    class Blueprint(consumer.Consumer.Blueprint):
        # Timers are rows of the job store. For Celery's own every worker would declare 28 queues.
        default_steps = [  # noqa: RUF012
            *(step for step in consumer.Consumer.Blueprint.default_steps if step != _DELAYED_DELIVERY),
            "meshroom_tasks.consumer:Liveness",
        ]

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*arguments, **options)

        def on_task_received(message: Any) -> None:
            if (amiss := _amiss(message)) is None:
                handle(message)
            else:  # Celery would fall over it, start again, and be given it once more.
                self.on_decode_error(message, ValueError(amiss))

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Park what cannot be read, as everything else that no task can take; Celery would drop it."""
        log.error("a message cannot be decoded", error=str(exc), content_type=message.content_type)
        message.reject_log_error(log, self.connection_errors)


def _amiss(message: Any) -> str | None:
    """Why a message in the protocol of today holds no arguments of a task; None: it does, or is for others to judge."""
    if "task" not in (message.headers or {}):
        return None
    try:
        body = message.payload
    except Exception as error:
        return f"its body is unreadable: {error}"
    match body:
        case [list(), dict(), dict() | None] | (list() | tuple(), dict(), dict() | None):
            return None
    return f"its body is no list of arguments: {type(body).__name__}"
