from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from meshroom_tasks.egress import Deadline, Egress, TransferError, guarded_session, stream
from meshroom_tasks.errors import AddressNotAllowed, UrlInvalid
from tests.certificates import EXPIRED, self_signed
from tests.egress.test_addresses import BLOCKED
from tests.loopback import Exchange, Site, serving


def session_for(*authorities: str, max_redirects: int = 3) -> requests.Session:
    return guarded_session(Egress(frozenset(authorities)), max_redirects=max_redirects)


def fetch(session: requests.Session, url: str, *, seconds: float = 5.0, limit: int = 10**6) -> tuple[int, bytes]:
    with Deadline(seconds) as deadline, stream(session, url, deadline=deadline) as reply:
        return reply.status, b"".join(reply.chunks(limit))


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let names resolve to what the test says, one tuple of addresses for each look-up; returns the names asked for."""

    def install(answers: dict[str, list[tuple[str, ...]]]) -> list[str]:
        asked: list[str] = []
        real = socket.getaddrinfo

        def fake(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
            if host not in answers:
                return real(host, port, *args, **kwargs)
            asked.append(host)
            turn = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
            return [entry for address in turn for entry in real(address, port, *args, **kwargs)]

        monkeypatch.setattr(socket, "getaddrinfo", fake)
        return asked

    return install


def test_an_allowed_private_host_is_reached(site: Site) -> None:
    site.routes["/a"] = lambda exchange: exchange.reply(200, b"hello")
    assert fetch(session_for(site.authority), site.url("/a")) == (200, b"hello")
    headers = site.received[0].headers
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == site.authority


def test_without_permission_no_connection_is_made(site: Site) -> None:
    with pytest.raises(AddressNotAllowed):
        fetch(session_for("127.0.0.1:1"), site.url("/a"))
    assert site.received == []


INSIDE = [
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:53aa:64c::1", "fd00:ec2::254", "fc00::1", "fe80::1", "fe80::1%1"),
    *("fec0::1", "ff02::1", "100::1", "3fff::1", "5f00::1"),
]
MIXED = [("8.8.8.8", "127.0.0.1"), ("127.0.0.1", "8.8.8.8"), ("2606:4700:4700::1111", "::1"), ("8.8.8.8", "fe80::1")]


@pytest.mark.parametrize("addresses", [*((address,) for address in INSIDE), *MIXED])
def test_a_name_with_one_bad_answer_is_condemned(
    site: Site, resolve: Callable[..., list[str]], addresses: tuple[str, ...]
) -> None:
    asked = resolve({"photos.example.com": [addresses]})
    with pytest.raises(AddressNotAllowed):
        fetch(session_for(), f"http://photos.example.com:{site.port}/a")
    assert asked == ["photos.example.com"]
    assert site.received == []


def test_rebinding_between_two_look_ups_changes_nothing(
    site: Site, resolve: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is public, every later one is not: the only connection goes to the judged address."""
    asked = resolve({"rebind.example.com": [("8.8.8.8",), ("127.0.0.1",)]})
    targets: list[Any] = []

    def connect(self: socket.socket, target: Any) -> None:
        targets.append(target)
        raise ConnectionRefusedError

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", connect)
        with pytest.raises(TransferError, match="refused"):
            fetch(session_for(), f"http://rebind.example.com:{site.port}/a")
    assert asked == ["rebind.example.com"]
    assert targets == [("8.8.8.8", site.port)]
    with pytest.raises(AddressNotAllowed):
        fetch(session_for(), f"http://rebind.example.com:{site.port}/a")
    assert site.received == []


def test_the_sockets_refuse_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the judgement of URLs may overlook: nothing is connected to, and no name is asked for twice."""
    monkeypatch.setattr("meshroom_tasks.egress.session.check_url", lambda *_, **__: None)
    connected: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, target: connected.append(target))
    real = socket.getaddrinfo

    def without_names(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        try:
            return real(host, port, *args, flags=socket.AI_NUMERICHOST, **kwargs)
        except socket.gaierror:
            return real("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", without_names)
    for url in BLOCKED:
        with pytest.raises((AddressNotAllowed, UrlInvalid, TransferError)):
            fetch(session_for(), url)
    assert connected == []


def test_a_private_host_is_its_name_not_its_address(site: Site, resolve: Callable[..., list[str]]) -> None:
    """What an operator vouches for is reached under that name alone, though others resolve to the same address."""
    resolve({name: [("127.0.0.1",)] for name in ("minio", "minio.evil.example", "evil.minio", "xminio", "minio.local")})
    site.routes["/a"] = lambda exchange: exchange.reply(200, b"photo")
    site.routes["/away"] = lambda exchange: exchange.reply(302, Location=f"http://minio.evil.example:{site.port}/a")
    session, port = session_for(f"minio:{site.port}"), site.port
    assert fetch(session, f"http://minio:{port}/a") == (200, b"photo")
    assert fetch(session, f"http://MINIO:{port}/a") == (200, b"photo")
    before = len(site.received)
    for host in ("minio.evil.example", "evil.minio", "xminio", "minio.local", "127.0.0.1", "localhost", "127.1"):
        with pytest.raises(AddressNotAllowed):
            fetch(session, f"http://{host}:{port}/a")
    for url in ("http://minio/a", f"http://minio:{port + 1}/a", f"https://minio.evil.example:{port}/a"):
        with pytest.raises((AddressNotAllowed, TransferError)):
            fetch(session, url)
    assert len(site.received) == before
    with pytest.raises(AddressNotAllowed):
        fetch(session, f"http://minio:{port}/away")
    assert [received.path for received in site.received[before:]] == ["/away"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_an_internal_address_is_blocked(site: Site, status: int) -> None:
    with serving() as internal:
        internal.routes["/secret"] = lambda exchange: exchange.reply(200, b"secret")
        site.routes["/a"] = lambda exchange: exchange.reply(status, Location=internal.url("/secret"))
        with pytest.raises(AddressNotAllowed):
            fetch(session_for(site.authority), site.url("/a"))
        assert internal.received == []


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://169.254.169.254/latest/meta-data/", AddressNotAllowed),
        ("//127.0.0.1:1/", AddressNotAllowed),
        ("http://localhost:1/", AddressNotAllowed),
        ("http://2130706433:1/", AddressNotAllowed),
        ("http://[::1]:1/", AddressNotAllowed),
        ("http://[fe80::1%25eth0]/", AddressNotAllowed),
        ("http://[64:ff9b::a9fe:a9fe]/", AddressNotAllowed),
        ("http://metadata.google.internal/", AddressNotAllowed),
        ("http:\\\\127.0.0.1:1\\", UrlInvalid),
        ("http://%6c%6f%63alhost:1/", AddressNotAllowed),
        ("http://user:pw@example.com/", UrlInvalid),
        ("file:///etc/passwd", UrlInvalid),
        ("ftp://127.0.0.1/", UrlInvalid),
        ("gopher://127.0.0.1:6379/_x", UrlInvalid),
        ("http://[::1", UrlInvalid),
        ("http://\xff\xfe/", UrlInvalid),
        ("http://exa mple.com/", UrlInvalid),
        ("http://example.com\\@127.0.0.1/", UrlInvalid),
        ("http://example.com/" + "a" * 9000, UrlInvalid),
    ],
)
def test_hostile_redirects(site: Site, location: str, error: type[Exception]) -> None:
    site.routes["/a"] = lambda exchange: exchange.reply(302, Location=location)
    with pytest.raises(error):
        fetch(session_for(site.authority), site.url("/a"))


def test_redirects_are_followed_up_to_the_limit(site: Site) -> None:
    for hop in range(4):
        site.routes[f"/{hop}"] = lambda exchange, to=f"{hop + 1}": exchange.reply(302, b"moved", Location=to)
    site.routes["/4"] = lambda exchange: exchange.reply(200, b"photo")
    assert fetch(session_for(site.authority), site.url("/1")) == (200, b"photo")
    with pytest.raises(TransferError, match="more than 3 times") as caught:
        fetch(session_for(site.authority), site.url("/0"))
    assert not caught.value.transient
    assert fetch(session_for(site.authority, max_redirects=0), site.url("/0")) == (302, b"moved")


def test_the_body_of_a_redirect_is_not_read(site: Site) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n")
        while not exchange.wait(0):
            exchange.raw(b"x" * 65536)

    site.routes["/a"] = endless
    site.routes["/b"] = lambda exchange: exchange.reply(200, b"photo")
    assert fetch(session_for(site.authority), site.url("/a")) == (200, b"photo")


def test_proxies_and_credentials_of_the_environment_are_ignored(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login operator password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.authority}")
        monkeypatch.setenv("no_proxy", "")
        site.routes["/a"] = lambda exchange: exchange.reply(200, b"photo")
        assert fetch(session_for(site.authority), site.url("/a")) == (200, b"photo")
        assert proxy.received == []
    assert "authorization" not in site.received[0].headers


def test_an_explicit_proxy_is_refused(site: Site) -> None:
    session = session_for(site.authority)
    with serving() as proxy:
        with pytest.raises(AddressNotAllowed):
            session.get(site.url("/a"), proxies={"http": f"http://{proxy.authority}"})
        assert proxy.received == []


def test_cookies_are_not_kept(site: Site) -> None:
    site.routes["/a"] = lambda exchange: exchange.reply(200, b"", Set_Cookie="sid=1; Path=/")
    session = session_for(site.authority)
    fetch(session, site.url("/a"))
    fetch(session, site.url("/a"))
    assert "cookie" not in site.received[1].headers


def test_a_blocked_request_is_logged_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(AddressNotAllowed):
        fetch(session_for(), "http://127.0.0.1:1/a?X-Amz-Signature=secret")
    assert "127.0.0.1:1/a" in caplog.text
    assert "secret" not in caplog.text


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(TransferError, match="does not resolve") as caught:
        fetch(session_for(), "http://nowhere.example.com/")
    assert caught.value.transient


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For photos.test."""
    return self_signed(tmp_path_factory.mktemp("tls"), "DNS:photos.test")


@contextmanager
def secure_server(certificate: Path) -> Iterator[tuple[int, list[str | None]]]:
    """Its port, and the server names (SNI) that clients have asked for."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    class Handler(Exchange):
        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            self.reply(200, str(self.headers["Host"]).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], names
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_tls_checks_and_sends_the_name_not_the_address(certificate: Path, resolve: Callable[..., list[str]]) -> None:
    resolve({"photos.test": [("127.0.0.1",)], "other.test": [("127.0.0.1",)]})
    with secure_server(certificate) as (port, names):
        session = session_for(f"photos.test:{port}", f"other.test:{port}")
        with pytest.raises(TransferError, match="its certificate is self-signed"):
            fetch(session, f"https://photos.test:{port}/")
        session.verify = str(certificate)
        assert fetch(session, f"https://photos.test:{port}/") == (200, f"photos.test:{port}".encode())
        assert names[-1] == "photos.test"
        with pytest.raises(TransferError, match="its certificate is for another name") as caught:
            fetch(session, f"https://other.test:{port}/")
        assert not caught.value.transient


def test_an_expired_certificate(tmp_path: Path, resolve: Callable[..., list[str]]) -> None:
    resolve({"photos.test": [("127.0.0.1",)]})
    certificate = self_signed(tmp_path, "DNS:photos.test", EXPIRED)
    with secure_server(certificate) as (port, _):
        session = session_for(f"photos.test:{port}")
        session.verify = str(certificate)
        with pytest.raises(TransferError, match="its certificate has expired") as caught:
            fetch(session, f"https://photos.test:{port}/")
        assert not caught.value.transient


def test_a_server_that_speaks_no_tls(site: Site) -> None:
    with pytest.raises(TransferError, match="TLS connection failed"):
        fetch(session_for(site.authority), f"https://{site.authority}/")


def test_a_name_server_that_does_not_answer_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def silent(*args: Any, **kwargs: Any) -> list[Any]:
        answers.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        with pytest.raises(TransferError, match="no complete answer within") as caught:
            fetch(session_for(), "http://photos.example.com/", seconds=0.4)
        assert caught.value.timed_out
    finally:
        answers.set()
