"""The client's server for callbacks: it knows each delivery by its webhook-id, and now and then it refuses one."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

from demo.servers import serving


@dataclass(frozen=True)
class Callback:
    webhook_id: str
    job_id: str
    status: str


class Receiver:
    """`taken`: what it answered with 204. About every fourth delivery gets a 500 first."""

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self.taken: list[Callback] = []
        self.refused = 0
        self.forged = 0
        self.host = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}/model-is-ready"

    def judge(self, body: str, headers: dict[str, str]) -> int:
        """The HTTP status to answer with."""
        with self._lock:
            try:
                self._webhook.verify(body, headers)
            except WebhookVerificationError:
                self.forged += 1
                return 401
            webhook_id, told = headers["webhook-id"], json.loads(body)
            first = webhook_id not in self._seen
            self._seen.add(webhook_id)
            if first and zlib.crc32(webhook_id.encode()) % 4 == 0:
                self.refused += 1
                return 500
            self.taken.append(Callback(webhook_id, told["job_id"], told["status"]))
            return 204

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status = receiver.judge(body, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as self.host:
            yield self
