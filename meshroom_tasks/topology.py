"""What there is on the broker: one exchange for tasks, one for dead letters, and two queues for each kind of worker.

Clients and workers name a queue by its alias (`cpu`); on the broker it carries the version (`cpu.v1`), because a queue
cannot be declared again with other arguments: who changes them raises the version, and the old queues run empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kombu import Connection, Exchange, Queue

VERSION = "v1"
WORK = ("ingest", "cpu", "gpu", "callback")
CONSUMER_TIMEOUT_MS = 48 * 3600 * 1000
_DELIVERY_LIMIT = 5

# Topic, for a day when a queue shall take more than its own key; direct exchanges would have to be replaced.
EXCHANGE = Exchange(f"meshroom-tasks.{VERSION}", type="topic", durable=True)
DEAD_EXCHANGE = Exchange(f"meshroom-tasks.dead.{VERSION}", type="topic", durable=True)

_WORK_ARGUMENTS = {
    "x-queue-type": "quorum",  # Replicated where there are several brokers; classic queues have no delivery limit.
    "x-delivery-limit": _DELIVERY_LIMIT,  # What crashes every worker is parked. Attempts proper are counted in SQL.
    "x-dead-letter-exchange": DEAD_EXCHANGE.name,
    "x-dead-letter-strategy": "at-least-once",  # A dead letter leaves its queue only when the other has it.
    "x-overflow": "reject-publish",  # Which that strategy needs: the publisher learns of it, and its outbox waits.
    "x-consumer-timeout": CONSUMER_TIMEOUT_MS,  # A stage may run for a day; RabbitMQ 3.12 and later heed this.
}
_DEAD_ARGUMENTS = {
    "x-queue-type": "quorum",
    # Looking at a dead letter counts as a delivery, and must not destroy it. No limit is written -1 for RabbitMQ 4, to
    # which nothing means 20; to 3.10 it means that the first look destroys.
    "x-delivery-limit": 1_000_000,
}


def names(intensive_queue: str = "") -> tuple[str, ...]:
    """The aliases of all work queues; `intensive_queue` is that of stages which need much memory, if there is one."""
    return tuple(dict.fromkeys((*WORK, *filter(None, [intensive_queue]))))


def work_queues(aliases: Sequence[str] = WORK) -> list[Queue]:
    """The queues that workers consume."""
    return [
        Queue(f"{name}.{VERSION}", EXCHANGE, routing_key=name, alias=name, queue_arguments=dict(_WORK_ARGUMENTS))
        for name in aliases
    ]


def dead_queues(aliases: Sequence[str] = WORK) -> dict[str, Queue]:
    """Where the messages of each work queue go that nobody could take; a dead letter keeps its routing key."""
    return {
        name: Queue(f"{name}.dead.{VERSION}", DEAD_EXCHANGE, routing_key=name, queue_arguments=dict(_DEAD_ARGUMENTS))
        for name in aliases
    }


def declare(connection: Connection, aliases: Sequence[str] = WORK) -> Iterator[tuple[str, Any]]:
    """Declare everything that is not there yet, dead letters first; yields each queue's alias and declaration.

    Raises kombu's channel error (406) for a queue that is there with other arguments.
    """
    with connection.channel() as channel:
        for name, queue in dead_queues(aliases).items():
            queue(channel).declare()
            yield name, queue
        for queue in work_queues(aliases):
            queue(channel).declare()
            yield queue.alias, queue
