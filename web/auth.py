"""The API key: everything under `/api/` needs it, also what does not exist there, and a key must have the scope.

What is open is listed here, so that a new route is closed until somebody opens it. What looks needs `read`, what
changes something needs `submit`; what needs `admin` is listed.

The pages have no key at hand: their requests come with the cookie of a session (sessions.py), under `/api/` too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, cast

from flask import Flask, current_app, g, request

from meshroom_tasks.api_keys import DEFAULT_TENANT, SCOPES, Scope, hash_of
from meshroom_tasks.errors import ServiceError, TooManyRequests
from meshroom_tasks.logs import bind
from meshroom_tasks.retry_policies import NEVER
from meshroom_tasks.settings import Settings
from web import sessions
from web.keyring import BOOTSTRAP, REMEMBERED_SECONDS, Caller, KeyRefused, Keyring, TooManyWrongKeys
from web.open_mode import OpenMode
from web.rates import Rate
from web.services import services

HEADER = "X-API-Key"
SCHEME = "ApiKey"
SECURITY_SCHEME = {
    "type": "apiKey",
    "in": "header",
    "name": HEADER,
    "description": "A key of your tenant, `mt_<id>_<secret>`, with the scopes `submit`, `read` or `admin`. "
    "What belongs to another tenant does not exist for it. A wrong key is answered with 401, and after too many of "
    "them from one address with 429.",
}

OPEN_ENDPOINTS = frozenset(
    {
        "health.healthz",
        "health.readyz",
        "metrics.metrics",  # Which judges a token, too.
        "openapi.spec",
        "docs.page",
        "docs.asset",
        "results.open_result",
        "results.open_results",
        "pages_signing_in.show",
        "pages_signing_in.sign_in",
        "pages_signing_in.sign_out",
        "pages_assets.static",
    }
)

ADMIN_ENDPOINTS = frozenset({"workers.list_workers", "pages_workers.show"})
SUBMISSIONS = {"reconstruct.reconstruct": "submit", "uploads.create_upload": "begin uploads"}
"""What SUBMISSIONS_PER_MINUTE counts, each by itself, and what that is called."""

_Seen = TypeVar("_Seen")
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
_KEYRING = "meshroom_tasks.keyring"
_OPEN_MODE = "meshroom_tasks.open_mode"


class ScopeMissing(ServiceError):
    code = "scope_missing"
    retry = NEVER
    http_status = 403

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this needs a key with the scope `{scope}`, which yours does not have", scope=scope)


class TooManySubmissions(TooManyRequests):
    code = "too_many_submissions"


def scope_needed(endpoint: str | None, method: str) -> Scope:
    if endpoint in ADMIN_ENDPOINTS:
        return "admin"
    return "read" if method in _LOOKING else "submit"


def caller() -> Caller:
    """Whose key came with the current request, which is not an open one."""
    return cast(Caller, g.caller)


def while_allowed(look: Callable[[], _Seen]) -> Callable[[], _Seen]:
    """The same for a request that stays open: it raises KeyRefused once the caller's key is not valid any more."""
    who, keyring, store = caller(), _keyring(), services().store
    judged = time.monotonic()

    def look_if_allowed() -> _Seen:
        nonlocal judged
        if time.monotonic() - judged >= REMEMBERED_SECONDS:
            keyring.check(who, store)
            judged = time.monotonic()
        return look()

    return look_if_allowed


def is_admin() -> bool:
    """Whether a key with the scope `admin` came along; for what is open, and tells more to those who have it."""
    try:
        return "admin" in _identify().scopes
    except (KeyRefused, TooManyWrongKeys):
        return False


def install(app: Flask, settings: Settings) -> None:
    """Guard the app. Raises ValueError when no key is set: a service that is open by accident must not start."""
    bootstrap = settings.x_api_key.get_secret_value().strip()
    if not bootstrap:
        raise ValueError("X_API_KEY is empty: set it to a long random string before starting the web app")
    app.extensions[_KEYRING] = Keyring(bootstrap, settings.wrong_keys_per_minute)
    app.extensions[_OPEN_MODE] = OpenMode(settings)
    sessions.install(app, settings)
    rates = {endpoint: Rate(settings.submissions_per_minute) for endpoint in SUBMISSIONS}

    @app.before_request
    def _require_key() -> None:
        known_and_open = request.endpoint in OPEN_ENDPOINTS
        unknown_elsewhere = request.endpoint is None and not request.path.startswith("/api/")
        if known_and_open or unknown_elsewhere:
            return
        g.caller = found = _identify()
        bind(tenant=found.tenant, key=found.key_id)
        scope = scope_needed(request.endpoint, request.method)
        if request.endpoint is not None and scope not in found.scopes:
            raise ScopeMissing(scope)
        if (endpoint := request.endpoint) in SUBMISSIONS and (wait := rates[endpoint].count(found.key_id)):
            text = f"this key may {SUBMISSIONS[endpoint]} {settings.submissions_per_minute} times in a minute"
            raise TooManySubmissions(f"{text}; try again later", retry_after=wait)


def sign_in(key: str) -> Caller:
    """Begin a session with this key, which the answer's cookie keeps. Raises KeyRefused, TooManyWrongKeys."""
    found = _keyring().caller(key, request.remote_addr, services().store)
    g.session = g.new_session = sessions.sessions().start(found.key_id, hash_of(key))
    return found


def is_open() -> bool:
    """Whether the current request needs no key, and no session of one."""
    return cast(OpenMode, current_app.extensions[_OPEN_MODE]).lets_in()


def _identify() -> Caller:
    sent = request.headers.get(HEADER)
    if sent is None and (found := _signed_in()) is not None:
        return found
    return _keyring().caller(sent, request.remote_addr, services().store)


def _signed_in() -> Caller | None:
    """Who came with a session; None without one. Raises KeyRefused where its key is no longer valid, RequestForged."""
    known, session = sessions.sessions(), sessions.sessions().current()
    if session is None or session.key_id == sessions.OPEN:
        return _let_in(session)
    found = _keyring().named(session.key_id, lambda key_hash: known.is_of(session, key_hash), services().store)
    known.check(session)
    g.session = session
    return found


def _let_in(session: sessions.Session | None) -> Caller | None:
    """Without a key, where that is open: to a page at once, with a session that what it asks for then must show."""
    if not is_open():
        return None
    if session is None and request.path.startswith("/api/"):
        return None
    if session is None:
        sessions.sessions().check_origin()
        session = g.new_session = sessions.sessions().start(sessions.OPEN, "")
    sessions.sessions().check(session)
    g.session = session
    return Caller(DEFAULT_TENANT, frozenset(SCOPES), BOOTSTRAP)


def _keyring() -> Keyring:
    return cast(Keyring, current_app.extensions[_KEYRING])
