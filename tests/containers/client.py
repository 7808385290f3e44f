"""The client's side in a container of its own: offers /photos, and keeps what it is told at /model-is-ready.

Runs with any Python; knows nothing of the service. GET /heard: the callbacks, one JSON object a line.
"""

import functools
import json
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEARD = Path("/tmp/heard")


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/heard":
            super().do_GET()
            return
        body = HEARD.read_bytes() if HEARD.exists() else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with HEARD.open("a") as file:
            file.write(json.dumps({"webhook_id": self.headers["webhook-id"], **body}) + "\n")
        self.send_response(204)
        self.end_headers()


ThreadingHTTPServer(("0.0.0.0", 8080), functools.partial(Handler, directory="/photos")).serve_forever()
