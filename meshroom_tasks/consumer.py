"""Celery's consumer of a worker, for a broker with dead-letter queues."""

from __future__ import annotations

from typing import Any

from celery.worker import consumer

from meshroom_tasks.logs import logger

log = logger(__name__)

_DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class Consumer(consumer.Consumer):
    class Blueprint(consumer.Consumer.Blueprint):
        # Timers are rows of the job store. For Celery's own every worker would declare 28 queues.
        default_steps = [step for step in consumer.Consumer.Blueprint.default_steps if step != _DELAYED_DELIVERY]  # noqa: RUF012

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Park what cannot be read, as everything else that no task can take; Celery would drop it."""
        log.error("a message cannot be decoded", error=str(exc), content_type=message.content_type)
        message.reject_log_error(log, self.connection_errors)
