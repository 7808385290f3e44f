"""Transactions that are run again when the database fails them: a restart, a lost connection, a deadlock.

Only whole methods of the store are run again, each one transaction that keeps nothing in memory. A transaction whose
acknowledgement was lost may have been committed; run again, it finds its work done, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import tenacity

from meshroom_tasks.errors import DatabaseUnavailable
from meshroom_tasks.logs import logger

log = logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    name = getattr(state.fn, "__name__", "?")
    log.warning("the database failed; trying again", operation=name, attempt=state.attempt_number, cause=_cause(error))


def _cause(error: BaseException | None) -> str:
    lines = str(error.__cause__ if error is not None else "").splitlines()
    return lines[0] if lines else ""


def _again_for(seconds: float) -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(DatabaseUnavailable),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
        before_sleep=_tell,
        reraise=True,
    )


def briefly(method: Callable[P, T]) -> Callable[P, T]:
    """For what somebody waits for: a request, or a hint that will come again."""
    return _again_for(5.0).wraps(method)


def patiently(method: Callable[P, T]) -> Callable[P, T]:
    """For the end of a step: hours of computing may hang on it."""
    return _again_for(60.0).wraps(method)
