"""gunicorn's log lines through structlog: one line a request, with its id and without its query string."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from meshroom_tasks.logs import logger

_log = logger("web.access")


class StructuredLogger(Logger):  # type: ignore[misc]
    """`logger_class` of gunicorn; the handlers are those of the root logger."""

    access_log_enabled = True

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        headers = {name.lower(): value for name, value in resp.headers}
        _log.info(
            "request",
            method=environ.get("REQUEST_METHOD"),
            path=environ.get("PATH_INFO"),
            status=int(resp.status.split()[0]) if isinstance(resp.status, str) else resp.status_code,
            sent_bytes=resp.sent,
            seconds=round(request_time.total_seconds(), 4),
            client=environ.get("REMOTE_ADDR"),
            request_id=headers.get("x-request-id"),
        )
