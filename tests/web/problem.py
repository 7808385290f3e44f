"""What every error answer has to look like."""

from __future__ import annotations

import re
from typing import Any

from werkzeug.test import TestResponse


def assert_problem(answer: TestResponse, status: int, code: str, *pointers: str) -> dict[str, Any]:
    """Check the answer against RFC 9457 and the service's own additions; returns its body."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.mimetype == "application/problem+json"
    body: dict[str, Any] = answer.get_json(force=True)
    assert {"type", "title", "status", "detail", "code", "errors", "request_id"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"].endswith(f":{code}")
    assert re.fullmatch(r"[\w-]{8,64}", body["request_id"])
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["detail"]
    assert [error["pointer"] for error in body["errors"]] == list(pointers)
    return body
