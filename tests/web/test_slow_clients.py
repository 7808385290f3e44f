"""Clients that are slow on purpose, against the app as it is deployed: the others are answered all the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import requests

from tests.waiting import LONG
from tests.web.conftest import IMAGES, KEY
from tests.web.test_live import Server, server
from web.services import THREADS

__all__ = ["server"]

MANY = 2 * THREADS


@contextmanager
def connections(server: Server, count: int, beginning: bytes) -> Iterator[list[socket.socket]]:
    """So many that have sent this and nothing more."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(
                stack.enter_context(socket.create_connection(("127.0.0.1", server.settings.port), timeout=LONG))
            )
            made[-1].sendall(beginning)
        yield made


def test_half_requests_keep_nobody_out(server: Server) -> None:
    """Of each kind more than there are threads, all at once."""
    head = b"GET /healthz HTTP/1.1\r\n"
    with ExitStack() as stack:
        kinds = [
            stack.enter_context(connections(server, MANY, beginning))
            for beginning in (b"", b"G", head, head + b"Host: a\r\nX: " + b"y" * 20_000)
        ]
        for _ in range(5):
            assert requests.get(f"{server.url}/healthz", timeout=LONG).ok
        assert [is_closed(made[0]) for made in kinds] == [True] * len(kinds), "and they are closed in the end"


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "beginning",
    [
        b"POST /api/v1/reconstruct HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
    ],
    ids=["a body that nobody wants", "never closing", "malformed"],
)
def test_whoever_does_not_go_keeps_nobody_out(server: Server, beginning: bytes) -> None:
    with connections(server, MANY, beginning):
        for _ in range(5):
            assert requests.get(f"{server.url}/healthz", timeout=LONG).ok


def test_half_bodies_keep_nobody_else_out(server: Server) -> None:
    """Of somebody with a key."""
    head = f"POST /api/v1/reconstruct HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    with connections(server, MANY, f"{head}Content-Length: 99\r\n\r\n{{".encode()) as made:
        for _ in range(5):
            assert requests.get(f"{server.url}/healthz", timeout=LONG).ok
        answers = {connection.recv(12) for connection in made}
        assert answers == {b"HTTP/1.1 400", b"HTTP/1.1 503"}, "those that were waited for, and those beyond them"


def test_a_head_may_come_in_pieces(server: Server) -> None:
    with connections(server, 1, b"GET /heal") as [connection]:
        for piece in (b"thz HTTP/1.1\r", b"\nHost: a\r\n", b"\r", b"\nGET /healthz HTTP/1.1\r\nHost: a\r\n"):
            assert requests.get(f"{server.url}/healthz", timeout=LONG).ok
            connection.sendall(piece)
        assert read_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def read_answer(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b'{"status":"ok"}\n'):
        block = connection.recv(1)
        assert block, data
        data += block
    return data


def test_one_connection_serves_many(server: Server) -> None:
    with requests.Session() as session:
        session.headers["X-API-Key"] = KEY
        for _ in range(20):
            answer = session.post(f"{server.url}/api/v1/reconstruct", json={"image_urls": IMAGES}, timeout=LONG)
            assert answer.status_code == 202
