"""Which service the terminal client talks to, and how it says what went wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from meshroom_tasks.client import Client, ClientError, JobNotCompleted, RequestProblem, ServiceUnreachable

Function = TypeVar("Function", bound=Callable[..., Any])

FAILED, REFUSED, CANCELLED, UNREACHABLE, INTERRUPTED = 1, 1, 3, 4, 130
"""Exit codes; 0 is success, 2 wrong usage."""

_KEY_BELOW_DATA = Path("api_key")


def console() -> Console:
    """Progress and messages; standard output is for what scripts read."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def service_options(command: Function) -> Function:
    """`--url` and `--api-key`, turned into the argument `client`."""

    @click.option(
        "--url",
        envvar="MESHROOM_TASKS_URL",
        default=lambda: f"http://127.0.0.1:{os.environ.get('PORT') or 8000}",
        help="Where the service answers; default: `make up` on this machine.  [env: MESHROOM_TASKS_URL]",
    )
    @click.option(
        "--api-key",
        envvar="X_API_KEY",
        help="Better in the environment, where no other user sees it; default: that of `make up`.  [env: X_API_KEY]",
    )
    @wraps(command)
    def with_client(*arguments: Any, url: str, api_key: str | None, **more: Any) -> Any:
        with failures(), Client(url, api_key or _kept_key()) as client:
            return command(*arguments, client=client, **more)

    return with_client  # type: ignore[return-value]


def _kept_key() -> str:
    """The key that `make up` has made."""
    kept = Path(os.environ.get("DATA_DIR") or "data") / _KEY_BELOW_DATA
    try:
        return kept.read_text().strip()
    except OSError:
        raise click.UsageError(f"set X_API_KEY to the service's API key: {kept} is not there") from None


@contextmanager
def failures() -> Iterator[None]:
    """Errors of the client, said on standard error with an exit code of their own."""
    try:
        yield
    except JobNotCompleted as error:
        _end(error.message, CANCELLED if error.status == "cancelled" else FAILED)
    except ServiceUnreachable as error:
        _end(error.message, UNREACHABLE)
    except RequestProblem as error:
        _end(str(error), REFUSED)
    except ClientError as error:
        _end(error.message, REFUSED)
    except KeyboardInterrupt:
        _end("stopped; the job goes on, if there was one", INTERRUPTED)


def _end(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    raise click.exceptions.Exit(code)
