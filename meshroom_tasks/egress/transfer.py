"""One bounded request: a deadline for all of it, a limit on its bytes, redirects counted and never read.

The time-outs of requests hold for each read alone, so a server that sends a byte now and then would be waited for
without end. `Deadline` shuts the socket instead, wherever the request then waits.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Token
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from types import TracebackType
from urllib.parse import urljoin

import requests
from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.exceptions import SSLError as TlsError

from meshroom_tasks.egress.session import Watch, current_watch
from meshroom_tasks.errors import UrlInvalid

_CHUNK_BYTES = 64 * 1024

# By the number that OpenSSL gives the reason (x509_vfy.h).
_WRONG_CERTIFICATES = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed",
    19: "its certificate is from an unknown issuer",
    20: "its certificate is from an unknown issuer",
    62: "its certificate is for another name",
    64: "its certificate is for another address",
}


class TransferError(Exception):
    """A request did not get its answer. `reason` may be shown to clients; a `transient` one is worth another try."""

    def __init__(self, reason: str, *, transient: bool, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.timed_out = timed_out


class BodyTooLargeError(TransferError):
    """The body is larger than the limit; the rest of it was not read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the answer is larger than {limit} bytes", transient=False)
        self.limit = limit


class Deadline:
    """The end of the requests made inside its `with` block: `seconds` after entering it, or when `end` is called.

    At the end every socket of theirs is shut, which wakes whoever waits in connecting, a TLS handshake, headers or a
    body. The look-up of a name is not waited for any longer than that either (`session`).
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._end = math.inf
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self.end)
        self._timer.daemon = True
        self._token: Token[Watch | None] | None = None

    def __enter__(self) -> Deadline:
        self._end = time.monotonic() + self.seconds
        self._token = current_watch.set(self)
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._timer.cancel()
        if self._token is not None:
            current_watch.reset(self._token)
        with self._lock:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()

    @property
    def remaining(self) -> float:
        return 0.0 if self.expired else max(0.0, self._end - time.monotonic())

    def end(self) -> None:
        """End the requests now; callable from any thread."""
        with self._lock:
            self.expired = True
            for sock in self._sockets:
                _shut(sock)

    def watch(self, sock: socket.socket) -> None:
        """Shut this socket at the end (called by the guarded connections)."""
        # A duplicate, since TLS takes the descriptor out of the socket object that it wraps.
        copy = socket.fromfd(sock.fileno(), sock.family, sock.type)
        with self._lock:
            self._sockets.append(copy)
            if self.expired:
                _shut(copy)


class Reply:
    """An answer whose body has not been read yet; valid inside the `stream` block. Header names are in any case."""

    def __init__(self, response: requests.Response, deadline: Deadline) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline

    def chunks(self, limit: int) -> Iterator[bytes]:
        """The body as it comes, undecoded; BodyTooLargeError as soon as it is sure to exceed `limit` bytes."""
        announced = self.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise BodyTooLargeError(limit)
        received = 0
        while chunk := self._read(_CHUNK_BYTES):
            received += len(chunk)
            if received > limit:
                raise BodyTooLargeError(limit)
            yield chunk

    def head(self, size: int) -> Iterator[bytes]:
        """At most the first `size` bytes of the body as they come; the rest stays unread."""
        while size > 0 and (chunk := self._read(size)):
            size -= len(chunk)
            yield chunk

    def _read(self, size: int) -> bytes:
        try:
            chunk: bytes = self._response.raw.read1(size, decode_content=False) or b""
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise _explained(error, self._deadline) from error
        if not chunk and self._deadline.expired:  # a shut socket reads like the end of a body without a length
            raise _timed_out(self._deadline)
        return chunk


@contextmanager
def stream(
    session: requests.Session,
    url: str,
    *,
    deadline: Deadline,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    connect_seconds: float = 10.0,
    read_seconds: float = 30.0,
) -> Iterator[Reply]:
    """Make one request inside the running `deadline` and hand out its answer.

    Follows at most `session.max_redirects` redirects, each judged like the first address; with 0, a redirect is an
    answer like any other, and so is a status of 400 or more. Raises AddressNotAllowed, UrlInvalid or TransferError.
    """
    response = _follow(session, method, url, body, headers, (connect_seconds, read_seconds), deadline)
    try:
        yield Reply(response, deadline)
    finally:
        response.close()


def parse_retry_after(value: str, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, given as such or as a date; None where it makes no sense."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _follow(
    session: requests.Session,
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str] | None,
    timeout: tuple[float, float],
    deadline: Deadline,
) -> requests.Response:
    """The first answer that is no redirect. The bodies of redirects are not read: they may have no end."""
    try:
        for _ in range(session.max_redirects + 1):
            response = session.request(
                method, url, data=body, headers=headers, timeout=timeout, stream=True, allow_redirects=False
            )
            target = session.get_redirect_target(response) if session.max_redirects else None
            if target is None:
                return response
            response.close()
            url = urljoin(response.url, target.replace(" ", "%20"))
    except requests.exceptions.InvalidHeader as error:
        raise TransferError("its answer is not valid HTTP", transient=False) from error
    except ValueError as error:  # also what requests raises for other schemes and malformed URLs
        raise UrlInvalid("The URL, or one that it redirects to, is malformed or not http(s).") from error
    except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
        raise _explained(error, deadline) from error
    raise TransferError(f"it redirects more than {session.max_redirects} times", transient=False)


def _timed_out(deadline: Deadline) -> TransferError:
    return TransferError(f"no complete answer within {deadline.seconds:g} s", transient=False, timed_out=True)


def _explained(error: Exception, deadline: Deadline) -> TransferError:
    """What to say of a failure, without addresses: they are no business of a client's."""
    if not deadline.remaining:
        return _timed_out(deadline)
    causes = list(_causes(error))
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return TransferError("its host name does not resolve", transient=True)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = _WRONG_CERTIFICATES.get(cause.verify_code, "its certificate is not valid")
            return TransferError(reason, transient=False)
    if any(isinstance(cause, TlsError | requests.exceptions.SSLError) for cause in causes):
        return TransferError("its TLS connection failed", transient=False)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return TransferError("connecting to it timed out", transient=True, timed_out=True)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return TransferError("it stopped answering", transient=True, timed_out=True)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return TransferError("it refused the connection", transient=True)
    return TransferError("the connection to it broke", transient=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it wraps (requests and urllib3 put that into `args` or `reason`) and what it came from."""
    seen: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        item = pending.pop()
        if isinstance(item, BaseException) and not any(item is earlier for earlier in seen):
            seen.append(item)
            pending += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    yield from seen


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # already closed by the other side
        sock.shutdown(socket.SHUT_RDWR)
