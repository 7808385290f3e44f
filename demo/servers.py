"""The two servers of a client: one that offers the photos, one that receives the callback. Both on loopback."""

from __future__ import annotations

import functools
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook


class _Photos(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """The demo's own display says what happens."""


@contextmanager
def photo_server(folder: Path) -> Iterator[str]:
    """Offer the files of `folder`; yields `host:port`."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Photos, directory=str(folder)))) as address:
        yield address


class CallbackReceiver:
    """Keeps each callback whose signature is right, and refuses others with 401."""

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)
        self._received: queue.Queue[dict[str, Any]] = queue.Queue()
        self.host = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}/model-is-ready"

    def wait(self, seconds: float) -> dict[str, Any]:
        """The next callback; raises `queue.Empty`."""
        return self._received.get(timeout=seconds)

    def forget(self) -> None:
        """Drop what came so far."""
        self._received = queue.Queue()

    @contextmanager
    def running(self, port: int = 0) -> Iterator[CallbackReceiver]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    receiver._webhook.verify(body.decode(), dict(self.headers.items()))
                except Exception:
                    self.send_response(401)
                else:
                    receiver._received.put(json.loads(body))
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The demo's own display says what happens."""

        with serving(ThreadingHTTPServer(("127.0.0.1", port), Handler)) as self.host:
            yield self


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """Serve in a thread; yields `host:port`."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
