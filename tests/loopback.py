"""A real HTTP or HTTPS server on the loopback address for tests: each path answers as its handler says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Exchange(BaseHTTPRequestHandler):
    """One request; a handler answers with `reply`, or writes whatever it likes to `wfile`."""

    protocol_version = "HTTP/1.1"
    server: Loopback

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Send exactly these bytes and end the connection after them."""
        self.close_connection = True
        self.wfile.write(data)
        self.wfile.flush()

    def wait(self, seconds: float) -> bool:
        """Wait; True when the server is being stopped meanwhile."""
        return self.server.stopping.wait(seconds)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.command, self.path, headers, body))
        handler = self.server.routes.get(self.path.partition("?")[0])
        try:
            if handler is None:
                self.reply(404)
            else:
                handler(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_POST = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


Handler = Callable[[Exchange], None]


@dataclass
class Site:
    """What a test sees of the server. `routes` may be changed while it runs."""

    port: int
    routes: dict[str, Handler]
    received: list[Received] = field(default_factory=list)
    scheme: str = "http"

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.authority}{path}"


class Loopback(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.routes: dict[str, Handler] = {}
        self.received: list[Received] = []
        self.stopping = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that goes away in the middle is what many tests are about


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    server = Loopback()
    if tls is not None:
        # The handshake is left to the thread of the request: one that fails must not hold up the others.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Site(server.server_address[1], server.routes, server.received, "https" if tls else "http")
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
