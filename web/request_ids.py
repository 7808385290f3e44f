"""One id for each request: the client's own where it sent a usable one, else a new one.

It is returned in `X-Request-ID`, stands in every problem, is bound to the log lines of the request, and travels with
the job to its workers.
"""

from __future__ import annotations

import re
import uuid

from flask import Flask, Response, g, has_request_context, request

from meshroom_tasks.logs import bind, clear

HEADER = "X-Request-ID"

_USABLE = re.compile(r"[A-Za-z0-9_-]{8,64}")


def accept_or_make(sent: str | None) -> str:
    """The id that the client sent if it is 8 to 64 letters, digits, `_` or `-`; else a new one."""
    return sent if sent is not None and _USABLE.fullmatch(sent) else uuid.uuid4().hex


def current_request_id() -> str:
    """The id of the request being answered; empty outside of one."""
    return str(g.get("request_id", "")) if has_request_context() else ""


def install(app: Flask) -> None:
    @app.before_request
    def _begin() -> None:
        g.request_id = accept_or_make(request.headers.get(HEADER))
        clear()
        bind(request_id=g.request_id)

    @app.after_request
    def _return(response: Response) -> Response:
        response.headers[HEADER] = current_request_id()
        return response

    @app.teardown_request
    def _end(_error: BaseException | None) -> None:
        clear()
