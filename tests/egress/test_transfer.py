from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
import requests

from meshroom_tasks.egress import BodyTooLargeError, Deadline, Egress, TransferError, guarded_session, stream
from meshroom_tasks.ports import free_port
from tests.loopback import Exchange, Site


@pytest.fixture
def session(site: Site) -> requests.Session:
    return guarded_session(Egress(frozenset({site.authority})), max_redirects=3)


def fetch(session: requests.Session, url: str, *, seconds: float = 300.0, limit: int = 10**6) -> bytes:
    with Deadline(seconds) as deadline, stream(session, url, deadline=deadline, read_seconds=60.0) as reply:
        return b"".join(reply.chunks(limit))


def drip(prefix: bytes, drop: bytes) -> Callable[[Exchange], None]:
    """A byte now and then: each arrives well inside any time-out of a single read."""

    def handler(exchange: Exchange) -> None:
        exchange.raw(prefix)
        while not exchange.wait(0.02):
            exchange.raw(drop)

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(drip(b"", b""), id="silence"),
        pytest.param(drip(b"", b"H"), id="status line"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), id="headers"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"), id="one header"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="continue"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"), id="body"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), id="body without length"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), id="chunks"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"), id="chunk header"),
    ],
)
def test_a_slow_server_is_left_at_the_deadline(
    site: Site, session: requests.Session, handler: Callable[[Exchange], None]
) -> None:
    site.routes["/a"] = handler
    with pytest.raises(TransferError) as caught:
        fetch(session, site.url("/a"), seconds=0.4)
    assert caught.value.timed_out


def test_a_slow_redirect_counts_to_the_same_deadline(site: Site, session: requests.Session) -> None:
    def handler(exchange: Exchange) -> None:
        exchange.wait(0.25)
        exchange.reply(302, Location="/a")

    site.routes["/a"] = handler
    with pytest.raises(TransferError) as caught:
        fetch(session, site.url("/a"), seconds=0.4)
    assert caught.value.timed_out


def test_a_server_that_never_finishes_the_tls_handshake(session: requests.Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        authority = f"127.0.0.1:{listener.getsockname()[1]}"
        quiet = guarded_session(Egress(frozenset({authority})), max_redirects=0)
        with pytest.raises(TransferError) as caught:
            fetch(quiet, f"https://{authority}/", seconds=0.4)
    assert caught.value.timed_out


def test_the_deadline_holds_on_a_kept_connection(site: Site, session: requests.Session) -> None:
    ports: list[int] = []

    def first(exchange: Exchange) -> None:
        ports.append(exchange.client_address[1])
        exchange.reply(200, b"ok")

    def second(exchange: Exchange) -> None:
        ports.append(exchange.client_address[1])
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")(exchange)

    site.routes["/first"], site.routes["/second"] = first, second
    assert fetch(session, site.url("/first")) == b"ok"
    with pytest.raises(TransferError) as caught:
        fetch(session, site.url("/second"), seconds=2.0)
    assert caught.value.timed_out
    assert ports[0] == ports[1]


def test_a_request_can_be_ended_from_another_thread(site: Site, session: requests.Session) -> None:
    site.routes["/a"] = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")
    with pytest.raises(TransferError), Deadline(300.0) as deadline:
        threading.Timer(0.2, deadline.end).start()
        with stream(session, site.url("/a"), deadline=deadline) as reply:
            for _ in reply.chunks(10**6):
                pass


def test_a_deadline_leaves_no_descriptor_open(site: Site, session: requests.Session) -> None:
    site.routes["/a"] = lambda exchange: exchange.reply(200, b"ok", Connection="close")
    with Deadline(300.0) as deadline:
        with stream(session, site.url("/a"), deadline=deadline) as reply:
            assert b"".join(reply.chunks(10)) == b"ok"
        copies = list(deadline._sockets)
    assert copies
    assert all(copy.fileno() == -1 for copy in copies)


def test_an_announced_size_over_the_limit_is_not_read(site: Site, session: requests.Session) -> None:
    site.routes["/a"] = lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    with pytest.raises(BodyTooLargeError):
        fetch(session, site.url("/a"), limit=1000)


@pytest.mark.parametrize("head", [b"", b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n"])
def test_an_endless_body_ends_at_the_limit(site: Site, session: requests.Session, head: bytes) -> None:
    sent = 0

    def endless(exchange: Exchange) -> None:
        nonlocal sent
        exchange.raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        while not exchange.wait(0):
            exchange.raw(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536

    site.routes["/a"] = endless
    with pytest.raises(BodyTooLargeError):
        fetch(session, site.url("/a"), limit=200_000)
    assert sent < 50_000_000


def test_a_body_of_exactly_the_limit_is_fine(site: Site, session: requests.Session) -> None:
    site.routes["/a"] = lambda exchange: exchange.reply(200, b"x" * 1000)
    assert fetch(session, site.url("/a"), limit=1000) == b"x" * 1000


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", id="shorter than announced"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort", id="chunk cut short"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", id="no last chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx", id="bad chunk size"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", id="huge header"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="not HTTP"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_broken_answers(site: Site, session: requests.Session, answer: bytes) -> None:
    site.routes["/a"] = lambda exchange: exchange.raw(answer)
    with pytest.raises(TransferError) as caught:
        fetch(session, site.url("/a"))
    assert not caught.value.timed_out
    assert "127.0.0.1" not in caught.value.reason


def test_a_body_longer_than_announced_is_cut(site: Site, session: requests.Session) -> None:
    site.routes["/a"] = lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")
    assert fetch(session, site.url("/a")) == b"abc"


def test_a_compressed_body_is_not_unpacked(site: Site, session: requests.Session) -> None:
    site.routes["/a"] = lambda exchange: exchange.reply(200, b"\x1f\x8bzip", Content_Encoding="gzip")
    assert fetch(session, site.url("/a")) == b"\x1f\x8bzip"


def test_a_refused_connection_is_transient(session: requests.Session) -> None:
    authority = f"127.0.0.1:{free_port()}"
    closed = guarded_session(Egress(frozenset({authority})), max_redirects=0)
    with pytest.raises(TransferError, match="refused") as caught:
        fetch(closed, f"http://{authority}/")
    assert caught.value.transient


def test_errors_of_the_reader_stay_what_they_are(site: Site, session: requests.Session) -> None:
    site.routes["/a"] = lambda exchange: exchange.reply(200, b"x")
    with (
        pytest.raises(OSError, match="No space left"),
        Deadline(300.0) as deadline,
        stream(session, site.url("/a"), deadline=deadline),
    ):
        raise OSError(28, "No space left on device")
