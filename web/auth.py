"""The API key: everything under `/api/` needs it, also what does not exist there.

What is open is listed here, so that a new route is closed until somebody opens it.
"""

from __future__ import annotations

import hashlib
import hmac

from flask import Flask, request

from meshroom_tasks.errors import NEVER, ServiceError
from meshroom_tasks.settings import Settings

HEADER = "X-API-Key"
SCHEME = "ApiKey"

OPEN_ENDPOINTS = frozenset(
    {
        "health.healthz",
        "health.readyz",
        "openapi.spec",
        "docs.page",
        "docs.asset",
        "results.open_result",
        "results.open_results",
    }
)


class KeyRefused(ServiceError):
    code = "unauthorized"
    retry = NEVER
    http_status = 401

    def __init__(self) -> None:
        super().__init__(f"send a valid API key in the header {HEADER}")


def key_matches(sent: str | None, expected: str) -> bool:
    """Compare in a time that tells nothing of either key, not even its length."""
    digests = [hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest() for key in (sent or "", expected)]
    return bool(sent) and hmac.compare_digest(*digests)


def carries_key(settings: Settings) -> bool:
    """Whether the current request has the right key; for what is open, and tells more to those who have it."""
    return key_matches(request.headers.get(HEADER), settings.x_api_key.get_secret_value().strip())


def install(app: Flask, settings: Settings) -> None:
    """Guard the app. Raises ValueError when no key is set: a service that is open by accident must not start."""
    expected = settings.x_api_key.get_secret_value().strip()
    if not expected:
        raise ValueError("X_API_KEY is empty: set it to a long random string before starting the web app")

    @app.before_request
    def _require_key() -> None:
        known_and_open = request.endpoint in OPEN_ENDPOINTS
        unknown_elsewhere = request.endpoint is None and not request.path.startswith("/api/")
        if not (known_and_open or unknown_elsewhere or key_matches(request.headers.get(HEADER), expected)):
            raise KeyRefused
