"""The client and a service that is slow to come, breaks off, or lies: a real server on loopback."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tenacity import wait_none

from meshroom_tasks.client import Client, DownloadDamaged, Result, ServiceUnreachable, connection
from meshroom_tasks.client.connection import Connection
from meshroom_tasks.client.downloading import download_result
from meshroom_tasks.client.errors import RequestProblem
from meshroom_tasks.client.log_following import follow_log
from meshroom_tasks.ports import free_port

Answer = Callable[[BaseHTTPRequestHandler], None]
PIECE = 1 << 20
CONTENT = bytes(range(256)) * (3 * PIECE // 256)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_backoff", wait_none())


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[str, list[BaseHTTPRequestHandler]]]:
    """The address of a server that answers so, one after the other, the last for ever; and what was asked."""
    asked: list[BaseHTTPRequestHandler] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if size := int(self.headers.get("Content-Length", 0)):
                self.rfile.read(size)
            asked.append(self)
            answers[min(len(asked), len(answers)) - 1](self)

        do_POST = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    says(200, CONTENT[: 5 * PIECE // 2], Content_Length=str(len(CONTENT)))(request)
    request.close_connection = True


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True


ACCEPTED = says(202, b'{"job_id": "j"}')
PROBLEM = json.dumps({"code": "storage_limit", "detail": "Delete something.", "errors": [], "request_id": "r"}).encode()


def result(url: str, content: bytes = CONTENT) -> Result:
    digest = hashlib.sha256(content).hexdigest()
    return Result(name="m.obj", url=f"{url}/m.obj", size=len(content), sha256=digest, media_type="model/obj")


def test_a_submission_is_sent_again_with_the_same_key() -> None:
    with serving(says(503, Retry_After="0"), hangs_up, ACCEPTED) as (url, asked):
        assert Client(url, "key").submit(["https://example.com/1.jpg"]) == "j"
    keys = {request.headers["Idempotency-Key"] for request in asked}
    assert (len(asked), len(keys)) == (3, 1)
    assert {request.headers["X-API-Key"] for request in asked} == {"key"}


def test_a_refusal_is_not_sent_again() -> None:
    with serving(says(422, PROBLEM)) as (url, asked), pytest.raises(RequestProblem) as caught:
        Client(url, "key").submit(["https://example.com/1.jpg"])
    assert len(asked) == 1
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (422, "storage_limit", "r")
    assert str(caught.value) == "Delete something. (storage_limit)"


def test_a_page_of_a_proxy_is_no_problem_document() -> None:
    with serving(says(500, b"<html>")) as (url, _), pytest.raises(RequestProblem, match="says 500"):
        Client(url, "key").job("j")


def test_nobody_is_there() -> None:
    with pytest.raises(ServiceUnreachable, match="is it running"):
        Client(f"http://127.0.0.1:{free_port()}", "key").job("j")


def test_a_download_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    with serving(breaks_off, says(206, CONTENT[2 * PIECE :])) as (url, asked):
        path = download_result(Connection(url, "key"), result(url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert [request.headers["Range"] for request in asked] == [None, f"bytes={2 * PIECE}-"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_server_without_ranges(tmp_path: Path) -> None:
    with serving(breaks_off, says(200, CONTENT)) as (url, _):
        assert download_result(Connection(url, "key"), result(url), tmp_path).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "m.obj").write_bytes(CONTENT)
    with serving(says(500)) as (url, asked):
        download_result(Connection(url, "key"), result(url), tmp_path)
    assert asked == []


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    with serving(says(200, CONTENT[::-1])) as (url, asked), pytest.raises(DownloadDamaged):
        download_result(Connection(url, "key"), result(url), tmp_path)
    assert len(asked) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_no_path(tmp_path: Path) -> None:
    with serving(says(200, CONTENT)) as (url, _):
        hostile = result(url).model_copy(update={"name": "../../m.obj"})
        assert download_result(Connection(url, "key"), hostile, tmp_path) == tmp_path / "m.obj"


def test_the_key_is_for_the_service_alone(tmp_path: Path) -> None:
    with serving(says(200, CONTENT)) as (store, asked), serving(says(500)) as (url, _):
        download_result(Connection(url, "key"), result(store), tmp_path)
    assert "X-API-Key" not in asked[0].headers


def told(*events: tuple[str, object, int], breaks: bool = False) -> Answer:
    """Server-sent events, each in a chunk of its own; `breaks`: in the middle of the last one."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        texts = [f"id: {at}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data, at in events]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(text), text) for text in [b"retry: 2000\n\n: still here\n\n", *texts])
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(chunks[:-5] if breaks else chunks + b"0\r\n\r\n")
        request.close_connection = True

    return answer


def test_a_log_goes_on_behind_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshroom_tasks.client.log_following._PAUSE", 0.01)
    answers = (
        told(("lines", ["one", "zwö"], 9), ("lines", ["three"], 15), breaks=True),
        hangs_up,
        told(("lines", ["three"], 15)),
        told(("problem", {"code": "storage_unavailable"}, 15)),
        told(("lines", ["four"], 20), ("end", {}, 20)),
    )
    with serving(*answers) as (url, asked):
        assert b"".join(follow_log(Connection(url, "key"), "/log", 3)) == "one\nzwö\nthree\nfour\n".encode()
    assert [request.headers["Last-Event-ID"] for request in asked] == [None, "9", "9", "15", "15"]
    assert {request.path for request in asked} == {"/log?chunk=3&follow=true"}


def test_connections_are_given_up_with_the_client() -> None:
    with serving(says(200, b'{"data": [], "next_cursor": null}')) as (url, _), Client(url, "key") as client:
        assert list(client.jobs()) == []
        kept = client._connection._session.get_adapter(url).poolmanager  # type: ignore[attr-defined]
        assert len(kept.pools) == 1
        client.close()
        assert len(kept.pools) == 0
