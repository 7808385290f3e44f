"""What all commands share: the parts of the service they work with, how they refuse, how they print."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

import click
from rich.console import Console

from meshroom_tasks.dispatch import flush
from meshroom_tasks.errors import ServiceError
from meshroom_tasks.jobs.records import JobStatus, JobView
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.logs import configure_logging
from meshroom_tasks.settings import Settings, current_settings
from meshroom_tasks.storage import Storage, open_storage

_PIPED_WIDTH = 200

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


class Operator:
    """Parts are opened when a command asks for them."""

    def __init__(self, settings: Settings, send: Callable[[JobStore], int] = flush) -> None:
        self.settings = settings
        self._send = send

    @cached_property
    def store(self) -> JobStore:
        return open_store(self.settings)

    @cached_property
    def storage(self) -> Storage:
        return open_storage(self.settings)

    def announce(self) -> int:
        """Send what the outbox holds; what cannot be sent now, the sweeper sends later."""
        return self._send(self.store)

    def jobs(self, status: JobStatus | None = None, tenant: str | None = None) -> Iterator[JobView]:
        """All of them, or those of one tenant, newest first."""
        cursor = None
        while True:
            page = self.store.jobs(status=status, cursor=cursor, tenant=tenant)
            yield from page.jobs
            if (cursor := page.next_cursor) is None:
                return


def operator() -> Operator:
    """That of the command which runs now."""
    given = click.get_current_context().find_object(Operator)
    if given is not None:
        return given
    settings = current_settings()
    configure_logging("WARNING", settings.log_format)  # To standard error: standard output is the command's answer.
    return Operator(settings)


class Refused(click.ClickException):
    """Ends the command with exit code 1 and a sentence on standard error."""


@contextmanager
def refusals() -> Iterator[None]:
    """What the service refuses, said as commands say it."""
    try:
        yield
    except ServiceError as error:
        raise Refused(error.message) from error


class ServiceCommand(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        with refusals():
            return super().invoke(ctx)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, default=_encode, ensure_ascii=False, indent=2))


def console() -> Console:
    """Standard output; a pipe gets lines that are wide enough for whole ids."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
