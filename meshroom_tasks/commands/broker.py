"""`topology` and `dead-letters`: what there is on RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from kombu import Connection
from rich.table import Table

from meshroom_tasks import dead_letters, topology
from meshroom_tasks.celery_app import app
from meshroom_tasks.commands.base import ServiceCommand, as_json, console, print_json, refusals
from meshroom_tasks.errors import BrokerUnavailable, Conflict, ServiceError
from meshroom_tasks.settings import current_settings

_CONNECT_SECONDS = 5


def _aliases() -> tuple[str, ...]:
    return topology.names(current_settings().intensive_queue)


@contextmanager
def _rabbitmq() -> Iterator[Connection]:
    """Raises Conflict for the embedded broker, for queues that are missing or other than ours; BrokerUnavailable."""
    with app.connection_for_write(connect_timeout=_CONNECT_SECONDS) as connection:
        if connection.transport.driver_type != "amqp":
            raise Conflict("the embedded broker has neither topology nor dead letters; set BROKER_URL to a RabbitMQ")
        try:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            yield connection
        except connection.channel_errors as error:
            raise Conflict(f"RabbitMQ refuses: {error}") from error
        except ServiceError:
            raise
        except (*connection.connection_errors, connection.OperationalError) as error:
            raise BrokerUnavailable("the message broker does not answer") from error


@click.command("topology", cls=ServiceCommand)
@as_json
def declare_topology(as_json: bool) -> None:
    """Declare exchanges and queues on RabbitMQ; what is there already stays as it is.

    To be run at each deployment, before the workers start.
    """
    with _rabbitmq() as connection:
        found = [(name, queue.name, queue.exchange.name) for name, queue in topology.declare(connection, _aliases())]
    if as_json:
        print_json([{"queue": queue, "exchange": exchange, "routing_key": name} for name, queue, exchange in found])
        return
    table = Table("queue", "exchange", "routing key", box=None, pad_edge=False)
    for name, queue, exchange in found:
        table.add_row(queue, exchange, name)
    console().print(table)


_of_queues = click.option(
    "--queue", "queues", type=click.Choice(topology.WORK), multiple=True, help="Only of this work queue; may repeat."
)


class _Group(click.Group):
    command_class = ServiceCommand

    def invoke(self, ctx: click.Context) -> object:
        with refusals():
            return super().invoke(ctx)


@click.group("dead-letters", cls=_Group, invoke_without_command=True)
@click.pass_context
def dead_letters_group(ctx: click.Context) -> None:
    """Messages that no worker could take: list (the default), requeue, drop."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_letters, queues=(), as_json=False)


@dead_letters_group.command("list")
@_of_queues
@as_json
def list_letters(queues: Sequence[str], as_json: bool) -> None:
    """List them; they stay where they are."""
    with _rabbitmq() as connection:
        found = dead_letters.look(connection, queues or _aliases())
    if as_json:
        print_json(found)
        return
    table = Table("queue", "died", "reason", "task", "what", "id", "bytes", box=None, pad_edge=False)
    for letter in found:
        died = f"{letter.died_at:%Y-%m-%d %H:%M:%S}" if letter.died_at else ""
        table.add_row(letter.queue, died, letter.reason, letter.task, letter.label, letter.id, str(letter.size))
    console().print(table)


@dead_letters_group.command("requeue")
@_of_queues
@as_json
def requeue_letters(queues: Sequence[str], as_json: bool) -> None:
    """Put them back into their work queues."""
    with _rabbitmq() as connection:
        count = dead_letters.send_again(connection, queues or _aliases())
    _tell("requeued", count, as_json)


@dead_letters_group.command("drop")
@_of_queues
@as_json
def drop_letters(queues: Sequence[str], as_json: bool) -> None:
    """Destroy them. No job needs them: its steps are in the job store."""
    with _rabbitmq() as connection:
        count = dead_letters.drop(connection, queues or _aliases())
    _tell("dropped", count, as_json)


def _tell(done: str, count: int, as_json: bool) -> None:
    if as_json:
        print_json({done: count})
    else:
        click.echo(f"{count} {done}")
