from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import pytest
from standardwebhooks import Webhook

from meshroom_tasks.callbacks import Outcome, next_attempt, post, sign
from meshroom_tasks.egress import Egress, guarded_session, parse_retry_after
from meshroom_tasks.ports import free_port
from tests.loopback import Exchange, Handler, Site, serving

BODY = json.dumps({"job_id": "j1", "status": "completed", "metadata": {"ü": [1, None]}}, ensure_ascii=False).encode()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def send(site: Site, handler: Handler | None = None, *, url: str = "", total: float = 2.0) -> Outcome:
    if handler is not None:
        site.routes["/hook"] = handler
    headers = sign(SECRET, "msg_1", datetime.now(UTC), BODY)
    session = guarded_session(Egress(frozenset({site.authority})), max_redirects=0)
    return post(session, url or site.url("/hook"), BODY, headers, connect=1.0, total=total)


def answering(status: int, body: bytes = b"", **headers: str) -> Handler:
    return lambda exchange: exchange.reply(status, body, **headers)


def test_a_receiver_can_verify_what_it_gets(site: Site) -> None:
    outcome = send(site, answering(200, b"thanks"))
    assert (outcome.received, outcome.status_code, outcome.error) == (True, 200, None)
    assert outcome.response_head == "thanks"
    assert outcome.seconds > 0
    [request] = site.received
    assert (request.method, request.path, request.body) == ("POST", "/hook", BODY)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(BODY))
    assert Webhook(SECRET).verify(request.body, request.headers) == json.loads(BODY)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_all_2xx_are_received(site: Site, status: int) -> None:
    assert send(site, lambda exchange: exchange.raw(b"HTTP/1.1 %d X\r\n\r\n" % status)).received


@pytest.mark.parametrize("status", [304, 400, 401, 404, 410, 429, 500, 503])
def test_other_answers_are_not(site: Site, status: int) -> None:
    outcome = send(site, answering(status, b"no"))
    assert not outcome.received
    assert outcome.status_code == status
    assert outcome.error == f"the receiver answered {status}"
    assert not outcome.timed_out


def test_gone_disables(site: Site) -> None:
    assert next_attempt((0, 5), 1, send(site, answering(410)), NOW, 0.0).status == "disabled"


def test_too_many_requests(site: Site) -> None:
    outcome = send(site, answering(429, Retry_After="400"))
    assert outcome.retry_after == 400.0
    assert next_attempt((0, 300), 1, outcome, NOW, 0.0).at == NOW + timedelta(seconds=400)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(site: Site, status: int) -> None:
    with serving() as internal:
        outcome = send(site, answering(status, b"moved", Location=internal.url("/secret")))
        assert internal.received == []
    assert outcome.status_code == status
    assert outcome.error == f"the receiver answered {status}"
    assert len(site.received) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hook", "http://169.254.169.254/", "http://localhost:1/"])
def test_a_blocked_address_is_an_outcome(site: Site, url: str) -> None:
    outcome = send(site, url=url)
    assert (outcome.status_code, outcome.error) == (None, "address not allowed")


@pytest.mark.parametrize("url", ["ftp://example.com/", "http://user:hunter2@example.com/", "http://", "nonsense"])
def test_a_malformed_address_is_an_outcome(site: Site, url: str) -> None:
    outcome = send(site, url=url)
    assert outcome.status_code is None
    assert outcome.error is not None
    assert "hunter2" not in outcome.error


def test_nobody_listens(site: Site) -> None:
    authority = f"127.0.0.1:{free_port()}"
    session = guarded_session(Egress(frozenset({authority})), max_redirects=0)
    outcome = post(session, f"http://{authority}/", BODY, {}, connect=30.0, total=60.0)
    assert (outcome.status_code, outcome.error) == (None, "it refused the connection")


def dripping(prefix: bytes, exchange: Exchange) -> None:
    exchange.raw(prefix)
    while not exchange.wait(0.05):
        exchange.raw(b"x")


def test_a_receiver_that_does_not_answer_in_time(site: Site) -> None:
    outcome = send(site, partial(dripping, b""), total=0.5)
    assert (outcome.status_code, outcome.timed_out) == (None, True)
    assert outcome.error == "no complete answer within 0.5 s"


def test_a_receiver_that_does_not_read() -> None:
    """Sending counts to the same time as waiting for the answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        authority = f"127.0.0.1:{listener.getsockname()[1]}"
        session = guarded_session(Egress(frozenset({authority})), max_redirects=0)
        outcome = post(session, f"http://{authority}/", b"x" * 50_000_000, {}, connect=30.0, total=0.5)
    assert (outcome.error, outcome.timed_out) == ("no complete answer within 0.5 s", True)


def test_a_status_counts_whatever_comes_after_it(site: Site) -> None:
    outcome = send(site, partial(dripping, b"HTTP/1.1 200 OK\r\n\r\n"), total=2.0)
    assert outcome.received
    assert not outcome.timed_out
    assert set(outcome.response_head) == {"x"}


def test_a_connection_closed_before_the_answer(site: Site) -> None:
    outcome = send(site, lambda exchange: exchange.raw(b"HTTP/1.1 20"))
    assert (outcome.status_code, outcome.error) == (None, "the connection to it broke")


def test_a_connection_closed_in_the_middle_of_the_answer(site: Site) -> None:
    outcome = send(site, lambda exchange: exchange.raw(b"HTTP/1.1 500 X\r\nContent-Length: 99\r\n\r\noops"))
    assert outcome.status_code == 500
    assert outcome.response_head == "oops"


def test_a_huge_answer_is_not_read(site: Site) -> None:
    sent = 0

    def endless(exchange: Exchange) -> None:
        nonlocal sent
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while not exchange.wait(0):
            exchange.raw(b"x" * 65536)
            sent += 65536

    outcome = send(site, endless)
    assert outcome.received
    assert outcome.response_head == "x" * 1024
    assert sent < 20_000_000


def test_the_head_is_printable(site: Site) -> None:
    outcome = send(site, answering(500, b"a\x00b\x1b[31mc\r\nd\xff\xc3\xa9\xe2\x80\xae"))
    assert outcome.response_head == "a b [31mc  d\N{REPLACEMENT CHARACTER}é "


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-5", None),
        ("1.5", None),
        ("inf", None),
        ("9" * 400, None),
        ("soon", None),
        ("١٢", None),
        (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120.0),
        (format_datetime(NOW - timedelta(minutes=2), usegmt=True), 0.0),
        ("Fri, 20 Nov 2026 12:01:00 -0000", 60.0),
        ("Fri, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
