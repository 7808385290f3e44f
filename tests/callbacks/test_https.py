"""Receivers behind HTTPS: only a certificate that is valid, and for the name of the URL, is trusted."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshroom_tasks.callbacks import Outcome, post
from meshroom_tasks.egress import Egress, guarded_session
from tests.certificates import EXPIRED, self_signed
from tests.loopback import Site, serving
from tests.waiting import LONG

HERE = "IP:127.0.0.1"


@contextmanager
def receiver(certificate: Path) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as site:
        site.routes["/hook"] = lambda exchange: exchange.reply(204)
        yield site


def send(site: Site, trusted: Path | None) -> Outcome:
    session = guarded_session(Egress(frozenset({site.authority})), max_redirects=0)
    if trusted is not None:
        session.verify = str(trusted)
    return post(session, site.url("/hook"), b"{}", {}, connect=LONG, total=LONG)


def test_a_valid_certificate_is_trusted(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, HERE)
    with receiver(certificate) as site:
        assert send(site, certificate).received
        assert [request.path for request in site.received] == ["/hook"]


@pytest.mark.parametrize(
    ("name", "days", "known", "error"),
    [
        pytest.param(HERE, 1, False, "its certificate is self-signed", id="unknown"),
        pytest.param("DNS:another.example", 1, True, "its certificate is for another address", id="another's"),
        pytest.param(HERE, EXPIRED, True, "its certificate has expired", id="expired"),
    ],
)
def test_a_wrong_certificate_is_not_and_the_attempt_says_why(
    tmp_path: Path, name: str, days: int, known: bool, error: str
) -> None:
    certificate = self_signed(tmp_path, name, days)
    with receiver(certificate) as site:
        outcome = send(site, certificate if known else None)
        assert (outcome.status_code, outcome.received, outcome.error) == (None, False, error)
        assert site.received == [], "nothing is said to who cannot prove who it is"
