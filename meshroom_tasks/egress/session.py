"""A requests Session whose sockets reach only what the policy allows.

The check sits where the socket is opened: the name is resolved once, one bad answer condemns it, and the connection
goes to the address that was judged. The Host header, SNI and the certificate check keep seeing the name.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from meshroom_tasks.egress.addresses import Egress, check_url, redact
from meshroom_tasks.errors import AddressNotAllowed

log = logging.getLogger(__name__)

MAX_HOP_LENGTH = 8192
"""Longest URL of a redirect; signed ones are longer than what clients type."""

_MAX_ADDRESSES = 4
_DEFAULT_CONNECT_SECONDS = 10.0


class Watch(Protocol):
    """Whoever bounds the time of the request that runs in this context (`transfer.Deadline`)."""

    def watch(self, sock: socket.socket) -> None: ...

    @property
    def remaining(self) -> float: ...


current_watch: ContextVar[Watch | None] = ContextVar("current_watch", default=None)


def guarded_session(egress: Egress, *, max_redirects: int) -> requests.Session:
    """A session for outgoing requests: no proxies, no credentials or settings of the environment, no cookies.

    It may be shared by threads. Requests through it raise AddressNotAllowed and UrlInvalid where the policy says so.
    By itself it follows no redirects; `transfer.stream` does, `max_redirects` at most.
    """
    return _GuardedSession(egress, max_redirects)


class _GuardedSession(requests.Session):
    def __init__(self, egress: Egress, max_redirects: int) -> None:
        super().__init__()
        self.egress = egress
        self.trust_env = False
        self.max_redirects = max_redirects
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"User-Agent": "meshroom-tasks", "Accept-Encoding": "identity"})
        self.adapters.clear()
        adapter = _GuardedAdapter(egress)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        text = url.decode() if isinstance(url, bytes) else url
        try:
            check_url(text, self.egress, max_length=MAX_HOP_LENGTH)
            return super().request(method, text, *args, **kwargs)
        except AddressNotAllowed:
            log.warning("request blocked: %s is not an allowed address", redact(text))
            raise

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        # That of requests reads a redirect's whole body, which may have no end, even where it is not to follow it.
        return iter(())


class _GuardedConnection(HTTPConnection):
    egress: Egress

    def _new_conn(self) -> socket.socket:
        host, port = self._dns_host.strip("[]"), self.port
        try:
            answers = _look_up(host, port)
        except (socket.gaierror, UnicodeError) as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, reason) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"looking up {self.host} timed out") from error
        for *_, sockaddr in answers:
            self.egress.judge(host, port, str(sockaddr[0]))
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, sockaddr in answers[:_MAX_ADDRESSES]:
            sock = socket.socket(family, kind, protocol)
            try:
                self._connect(sock, sockaddr)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"connecting to {self.host} timed out") from failure
        raise NewConnectionError(self, f"connecting to {self.host} failed: {failure}") from failure

    def _connect(self, sock: socket.socket, sockaddr: Any) -> None:
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        seconds = self.timeout if isinstance(self.timeout, int | float) else _DEFAULT_CONNECT_SECONDS
        watch = current_watch.get()
        if watch is not None:
            if watch.remaining <= 0:
                raise TimeoutError("no time left to connect")
            seconds = min(seconds, watch.remaining)
            watch.watch(sock)
        sock.settimeout(seconds)
        sock.connect(sockaddr)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        watch = current_watch.get()
        if watch is not None and self.sock is not None:  # a kept connection, opened under an earlier watch
            watch.watch(self.sock)
        super().putrequest(*args, **kwargs)


def _look_up(host: str, port: int) -> list[Any]:
    """What `getaddrinfo` says, for as long as the request has; TimeoutError then.

    It cannot be interrupted, and tries name servers that do not answer for a minute and more: a thread is left to it.
    """
    answers: Future[list[Any]] = Future()

    def look() -> None:
        try:
            answers.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            answers.set_exception(error)

    threading.Thread(target=look, name="look-up", daemon=True).start()
    watch = current_watch.get()
    return answers.result(watch.remaining if watch is not None else _DEFAULT_CONNECT_SECONDS)


def _pool_classes(egress: Egress) -> dict[str, type[HTTPConnectionPool]]:
    plain = type("GuardedHTTPConnection", (_GuardedConnection,), {"egress": egress})
    secure = type("GuardedHTTPSConnection", (_GuardedConnection, HTTPSConnection), {"egress": egress})
    return {
        "http": type("GuardedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._egress)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        if any((proxies or {}).values()):
            raise AddressNotAllowed  # a proxy would resolve the name itself, out of our sight
        return super().send(request, stream, timeout, verify, cert, None)
