"""What lies in the dead-letter queues, and ways out of them.

A dead letter holds nothing up: the sweeper has sent another hint for its step long since. It is kept to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kombu import Connection, Message

from meshroom_tasks import topology


@dataclass(frozen=True)
class DeadLetter:
    """`reason` is RabbitMQ's: `delivery_limit` (it crashed its worker again and again) or `rejected` (unreadable)."""

    queue: str
    id: str
    task: str
    label: str
    job_id: str
    reason: str
    died_at: datetime | None
    content_type: str
    size: int


def look(connection: Connection, names: Collection[str] = topology.WORK) -> tuple[DeadLetter, ...]:
    """All dead letters of these work queues, oldest first; they stay where they are."""
    found = []
    with connection.channel() as channel:  # Closing it returns what was taken.
        for name in names:
            found += [_letter(name, message) for message in _taken(channel, name)]
    return tuple(found)


def send_again(connection: Connection, names: Collection[str] = topology.WORK) -> int:
    """Put every dead letter back into its work queue, as new; returns how many."""

    def publish(name: str, message: Message) -> None:
        properties = {
            key: message.properties[key]
            for key in ("correlation_id", "reply_to", "priority")
            if key in message.properties
        }
        producer.publish(
            message.body,
            exchange=topology.EXCHANGE,
            routing_key=name,
            headers={key: value for key, value in message.headers.items() if not key.startswith("x-")},
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            delivery_mode=2,
            **properties,
        )

    with connection.Producer() as producer:
        return _empty(connection, names, publish)


def drop(connection: Connection, names: Collection[str] = topology.WORK) -> int:
    """Destroy every dead letter of these work queues; returns how many."""
    return _empty(connection, names, lambda _name, _message: None)


def _empty(connection: Connection, names: Collection[str], before: Callable[[str, Message], None]) -> int:
    """Take out what lies there now; each message goes once `before` has returned."""
    count = 0
    with connection.channel() as channel:
        for name in names:
            for message in list(_taken(channel, name)):
                before(name, message)
                message.ack()
                count += 1
    return count


def _taken(channel: Any, name: str) -> Iterator[Message]:
    queue = topology.dead_queues([name])[name](channel)
    while (message := queue.get()) is not None:
        yield message


def _letter(name: str, message: Message) -> DeadLetter:
    headers = message.headers
    deaths: list[dict[str, Any]] = headers.get("x-death") or [{}]
    death = deaths[0]  # The latest.
    died_at = death.get("time")
    return DeadLetter(
        queue=name,
        id=str(headers.get("id") or ""),
        task=str(headers.get("task") or ""),
        label=str(headers.get("shadow") or ""),
        job_id=str(headers.get("job_id") or ""),
        reason=str(death.get("reason") or ""),
        died_at=died_at.replace(tzinfo=UTC) if died_at is not None else None,
        content_type=str(message.content_type or ""),
        size=len(message.body or b""),
    )
