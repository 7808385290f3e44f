from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from meshroom_tasks.storage import open_storage
from tests.waiting import LONG, eventually
from tests.web.conftest import IMAGES, KEY
from tests.web.serving import Server, serving
from web.services import MOST_STREAMS_OF_ONE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


def test_a_job_over_a_socket_and_a_clean_stop(server: Server) -> None:
    headers = {"X-API-Key": KEY, "X-Request-ID": "live-request-1"}
    answer = requests.post(
        f"{server.url}/api/v1/reconstruct?", json={"image_urls": IMAGES}, headers=headers, timeout=60
    )
    assert answer.status_code == 202, answer.text
    job = requests.get(f"{server.url}{answer.headers['Location']}", headers=headers, timeout=60).json()
    assert job["request_id"] == "live-request-1"
    eventually(lambda: list(server.settings.data_dir.rglob("*.msg")), about=server.log.read_text)

    without_length = (b"x" * 100_000 for _ in range(20))
    too_large = requests.post(
        f"{server.url}/api/v1/reconstruct",
        data=without_length,
        headers={**headers, "Content-Type": "application/json"},
        timeout=30,
    )
    assert (too_large.status_code, too_large.json()["code"]) == (413, "request_too_large")
    requests.get(f"{server.url}/api/v1/jobs?cursor=s3cret", timeout=60)

    unfinished = begin_request(server)
    server.running.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert finish_request(unfinished).startswith(b"HTTP/1.1 202")
    assert server.running.wait(LONG) == 0

    lines = server.lines()
    [ready] = [line for line in lines if line["event"] == "ready"]
    assert ready["url"] == server.url
    [submission] = [line for line in lines if line.get("request_id") == "live-request-1" and line.get("status") == 202]
    assert (submission["method"], submission["path"]) == ("POST", "/api/v1/reconstruct")
    text = server.log.read_text()
    assert KEY not in text
    assert "s3cret" not in text


BODY = json.dumps({"image_urls": IMAGES}).encode()


def begin_request(server: Server) -> socket.socket:
    """Send all of a request but its last byte; the server has it in hand then."""
    connection = socket.create_connection(("127.0.0.1", server.settings.port), timeout=60)
    head = (
        f"POST /api/v1/reconstruct HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\nExpect: 100-continue\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 100")
    connection.sendall(BODY[:-1])
    return connection


def finish_request(connection: socket.socket) -> bytes:
    with connection:
        connection.sendall(BODY[-1:])
        return connection.recv(65536)


def test_open_streams_do_not_keep_the_server_from_stopping(server: Server) -> None:
    headers = {"X-API-Key": KEY}
    job = requests.post(
        f"{server.url}/api/v1/reconstruct", json={"image_urls": IMAGES}, headers=headers, timeout=60
    ).json()
    with requests.get(
        f"{server.url}/api/v1/jobs/{job['job_id']}/events", headers=headers, stream=True, timeout=60
    ) as stream:
        lines = stream.iter_lines()
        assert any(line == b"event: state" for line in lines)
        watched = requests.get(f"{server.url}/jobs/events", headers=headers, stream=True, timeout=60)
        assert any(line == b"event: changed" for line in watched.iter_lines())
        server.running.send_signal(signal.SIGTERM)
        assert server.running.wait(LONG) == 0, "it waited for a stream"
        watched.close()


def test_what_comes_later_comes_on_the_same_stream(server: Server) -> None:
    headers = {"X-API-Key": KEY}
    body = {"image_urls": IMAGES}
    job_id = requests.post(f"{server.url}/api/v1/reconstruct", json=body, headers=headers, timeout=60).json()["job_id"]
    storage = open_storage(server.settings)
    key, path = f"jobs/{job_id}/logs/ingest/0.log", f"/api/v1/jobs/{job_id}/logs/ingest?follow=true"
    written = b""
    storage.put_bytes(key, written)
    # Well before the longest silence, after which the server would close it.
    with requests.get(f"{server.url}{path}", headers=headers, stream=True, timeout=20) as stream:
        lines = stream.iter_lines()
        for number in range(3):
            written += b"line %d\n" % number
            storage.put_bytes(key, written)
            told = next(line for line in lines if line.startswith(b"data:"))
            assert json.loads(told[5:]) == [f"line {number}"]


def test_clients_that_have_gone_leave_room_for_other_streams(server: Server) -> None:
    headers = {"X-API-Key": KEY}
    job = requests.post(
        f"{server.url}/api/v1/reconstruct", json={"image_urls": IMAGES}, headers=headers, timeout=60
    ).json()
    head = f"GET /api/v1/jobs/{job['job_id']}/events HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n"
    for _ in range(2):
        streams = [
            socket.create_connection(("127.0.0.1", server.settings.port), LONG) for _ in range(MOST_STREAMS_OF_ONE)
        ]
        for stream in streams:
            stream.sendall(head.encode())
        assert [stream.recv(12) for stream in streams] == [b"HTTP/1.1 200"] * MOST_STREAMS_OF_ONE
        for stream in streams:
            stream.close()
