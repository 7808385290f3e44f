"""Receivers behind HTTPS: only a certificate that is valid for the name of the URL is trusted."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshroom_tasks.callbacks import Outcome, post
from meshroom_tasks.egress import Egress, guarded_session
from tests.loopback import Site, serving
from tests.waiting import LONG


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for `name` (an alternative name as openssl writes it) and its key, in one file."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=receiver"]
    command += ["-addext", f"subjectAltName={name}", "-keyout", "key.pem", "-out", "cert.pem"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=LONG)
    except FileNotFoundError:
        pytest.skip("no openssl command to make a certificate with")
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.fixture(params=["IP:127.0.0.1", "DNS:another.example"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path, Site]]:
    """For whom its certificate is, the certificate, and the server."""
    made = certificate(tmp_path, request.param)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made)
    with serving(context) as site:
        site.routes["/hook"] = lambda exchange: exchange.reply(204)
        yield request.param, made, site


def send(site: Site, trusted: Path | None) -> Outcome:
    session = guarded_session(Egress(frozenset({site.authority})), max_redirects=0)
    if trusted is not None:
        session.verify = str(trusted)
    return post(session, site.url("/hook"), b"{}", {}, connect=LONG, total=LONG)


def test_only_the_right_certificate_is_trusted(receiver: tuple[str, Path, Site]) -> None:
    name, made, site = receiver
    unknown = send(site, None)
    assert (unknown.status_code, unknown.received) == (None, False)
    assert "TLS" in (unknown.error or "")
    assert site.received == [], "nothing is said to who cannot prove who it is"
    known = send(site, made)
    if name == "IP:127.0.0.1":
        assert known.received
        assert [request.path for request in site.received] == ["/hook"]
    else:
        assert (known.status_code, known.received, site.received) == (None, False, [])
