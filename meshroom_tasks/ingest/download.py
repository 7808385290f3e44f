"""Fetching one photo into one file: bounded in time, in bytes and in tries."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random
from tenacity.nap import sleep_using_event

from meshroom_tasks.egress import BodyTooLargeError, Deadline, TransferError, parse_retry_after, stream
from meshroom_tasks.errors import ImageTooLarge, ImageUnreachable
from meshroom_tasks.handoff.disk import disk_errors
from meshroom_tasks.ingest.copying import ByteBudget, Downloaded, StoppedError
from meshroom_tasks.ingest.limits import IngestLimits

_TRIES = 3
_LONGEST_WAIT = 10.0
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_backoff = wait_exponential(multiplier=0.5, max=_LONGEST_WAIT / 2) + wait_random(0.0, 0.5)


class _StatusError(TransferError):
    """The server answered something else than 200; another try may help with overload and trouble of its own."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"its server answered {status}", transient=status in (408, 425, 429) or status >= 500)
        self.status = status
        self.retry_after = retry_after


class Downloader:
    """Fetches the photos of one job. Its methods may be called by several threads, `stop` by any."""

    def __init__(self, session: requests.Session, limits: IngestLimits, budget: ByteBudget) -> None:
        self._session = session
        self._limits = limits
        self._budget = budget
        self._stopping = threading.Event()
        self._running: set[Deadline] = set()
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Make all downloads, running and to come, end with StoppedError at once."""
        self._stopping.set()
        with self._lock:
            for deadline in self._running:
                deadline.end()

    def fetch(self, url: str, path: Path) -> Downloaded:
        """Fetch `url` into `path`, trying again where that may help.

        Raises ImageUnreachable, ImageTooLarge, AddressNotAllowed, UrlInvalid, JobTooLarge, DiskFull, StoppedError.
        """
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, TransferError) and error.transient),
            stop=stop_after_attempt(_TRIES),
            wait=_wait,
            sleep=sleep_using_event(self._stopping),
            reraise=True,
        )
        try:
            return retrying(self._try, url, path)
        except BodyTooLargeError as error:
            limit = self._limits.max_image_bytes
            raise ImageTooLarge(f"it is larger than {limit:,} bytes; send it smaller", max_image_bytes=limit) from error
        except TransferError as error:
            raise ImageUnreachable(error.reason) from error

    def _try(self, url: str, path: Path) -> Downloaded:
        taken = 0
        digest = hashlib.sha256()
        complete = False
        try:
            with (
                self._deadline() as deadline,
                stream(
                    self._session,
                    url,
                    deadline=deadline,
                    connect_seconds=_CONNECT_SECONDS,
                    read_seconds=_READ_SECONDS,
                ) as reply,
            ):
                if reply.status != 200:
                    asked = parse_retry_after(reply.headers.get("Retry-After", ""), datetime.now(UTC))
                    raise _StatusError(reply.status, asked)
                with disk_errors(), path.open("wb") as file:
                    for chunk in reply.chunks(self._limits.max_image_bytes):
                        taken += len(chunk)
                        self._budget.take(len(chunk))
                        digest.update(chunk)
                        file.write(chunk)
            complete = True
        except TransferError as error:
            if self._stopping.is_set():
                raise StoppedError from error
            raise
        finally:
            if not complete:
                self._budget.take(-taken)
        return Downloaded(digest.hexdigest(), taken)

    @contextmanager
    def _deadline(self) -> Iterator[Deadline]:
        with Deadline(self._limits.image_seconds) as deadline:
            with self._lock:
                self._running.add(deadline)
            try:
                if self._stopping.is_set():
                    raise StoppedError
                yield deadline
            finally:
                with self._lock:
                    self._running.discard(deadline)


def _wait(state: RetryCallState) -> float:
    """Seconds before the next try: what the server asks for, within reason, else growing ones."""
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, _StatusError) and error.retry_after is not None:
        return min(error.retry_after, _LONGEST_WAIT)
    return float(_backoff(state))
