"""Requests to the service: time-outs, bounded retries, and its refusals as errors. The one place that does HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from meshroom_tasks.client.errors import RequestProblem, ServiceUnreachable

TIMEOUT = (10.0, 120.0)
"""Seconds to connect, and of silence."""
_ATTEMPTS = 6
_PASSING = (429, 502, 503, 504)
_LONGEST_WAIT = 60.0
_backoff = wait_exponential_jitter(multiplier=0.5, max=15.0)


Answer = TypeVar("Answer")


class Passing(Exception):
    """Worth another try; `after`: seconds that the service asks to wait."""

    def __init__(self, error: RequestProblem | ServiceUnreachable, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


class Connection:
    """To the service at `url`; safe in several threads. Requests must be such that sending them twice does no harm."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        self._api_key = api_key
        self._of_thread = threading.local()
        self._sessions: list[requests.Session] = []
        self._opening = threading.Lock()

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """The answer with its body. Raises RequestProblem and ServiceUnreachable."""
        return retried(lambda: self._once(method, path, more))

    @contextmanager
    def stream(self, method: str, url: str, **more: Any) -> Iterator[requests.Response]:
        """One try; the body is yet to be read. Raises Passing where another try may help, and RequestProblem."""
        with passing_failures(url), self._send(method, url, {**more, "stream": True}) as answer:
            yield answer

    def open(self, method: str, path: str, **more: Any) -> requests.Response:
        """One try; like `stream`, for a body that is longer read than one call lasts. Close it."""
        with passing_failures(path):
            return self._send(method, path, {**more, "stream": True})

    def close(self) -> None:
        with self._opening:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    def _once(self, method: str, path: str, more: dict[str, Any]) -> requests.Response:
        with passing_failures(path):
            return self._send(method, path, more)

    def _send(self, method: str, path: str, more: Mapping[str, Any]) -> requests.Response:
        url = path if "://" in path else f"{self.url}{path}"
        headers = dict(more.get("headers", {}))
        if is_same_origin(url, self.url):  # The key is for nobody else: results may lie on an object store.
            headers["X-API-Key"] = self._api_key
        answer = self._session.request(method, url, **{**more, "headers": headers, "timeout": TIMEOUT})
        if answer.ok:
            return answer
        problem = _problem(answer)
        if answer.status_code in _PASSING:
            raise Passing(problem, _asked_to_wait(answer))
        raise problem

    @property
    def _session(self) -> requests.Session:
        """One for each thread: requests does not promise that threads may share one."""
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
            with self._opening:
                self._sessions.append(self._of_thread.session)
        session: requests.Session = self._of_thread.session
        return session


@contextmanager
def passing_failures(where: str) -> Iterator[None]:
    try:
        yield
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        place = f"{urlsplit(where).netloc or 'the service'}"
        raise Passing(
            ServiceUnreachable(f"{place} does not answer ({type(error).__name__}); is it running?")
        ) from error


def retried(call: Callable[[], Answer]) -> Answer:
    """What `call` returns. It may raise Passing; after the last try, what that stands for is raised."""
    try:
        return Retrying(
            retry=retry_if_exception_type(Passing), stop=stop_after_attempt(_ATTEMPTS), wait=_wait, reraise=True
        )(call)
    except Passing as passing:
        raise passing.error from passing


def is_same_origin(url: str, service: str) -> bool:
    one, other = urlsplit(url), urlsplit(service)
    return (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, Passing) else None
    return _backoff(state) if asked is None else min(asked, _LONGEST_WAIT)


def _asked_to_wait(answer: requests.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else None


def _problem(answer: requests.Response) -> RequestProblem:
    try:
        said = answer.json()
        return RequestProblem(
            answer.status_code, said["code"], said["detail"], said.get("errors", ()), said.get("request_id", "")
        )
    except (ValueError, KeyError, TypeError):
        where = urlsplit(answer.url).netloc
        return RequestProblem(answer.status_code, f"http_{answer.status_code}", f"{where} says {answer.status_code}")
