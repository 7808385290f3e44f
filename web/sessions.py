"""Who is signed in to the pages: a signed cookie that names a key, and holds nothing that could stand in for it.

The key is looked up at each request, so that one which was taken back or has expired ends its sessions. `mark` ties a
session to the very key it was made with: the bootstrap key may be replaced under the same name.

Cookies come along whoever made the browser ask. So what changes something needs the session's own token as well, which
only pages of this origin can read, and no other origin may be named as the one that asks.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.logs import logger
from meshroom_tasks.retry_policies import NEVER
from meshroom_tasks.settings import Settings

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
OPEN = "open"
"""In the place of a key's id: nobody signed in, and nobody needs to (open_mode.py)."""

_LIFETIME_SECONDS = 7 * 86_400
_NAME = "meshroom_tasks.sessions"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

log = logger(__name__)


class RequestForged(ServiceError):
    """It came with a session's cookie, and not from a page of this service."""

    code = "request_forged"
    retry = NEVER
    http_status = 403

    def __init__(self) -> None:
        super().__init__("this request did not come from a page of this service; load the page again")


@dataclass(frozen=True)
class Session:
    """`key_id`: of the key, or what stands for the bootstrap key, or `OPEN`; `csrf`: the token that goes with it."""

    key_id: str
    mark: str
    csrf: str


class Sessions:
    """`secret` is the same in all processes of the web app."""

    def __init__(self, secret: str, base_url: str, port: int) -> None:
        self._secret = secret.encode()
        self._serializer = URLSafeTimedSerializer(
            secret, salt="session", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._own = urlsplit(base_url).netloc
        self._secure = base_url.startswith("https://")
        # Cookies are shared by all ports of a host; two services on one machine must not end each other's sessions.
        self.cookie = "__Host-meshroom-tasks" if self._secure else f"meshroom-tasks-{port}"

    def start(self, key_id: str, key_hash: str) -> Session:
        """A new session; `save` sends it."""
        return Session(key_id, self._mark(key_hash), secrets.token_urlsafe(24))

    def current(self) -> Session | None:
        """That of the request's cookie; None where there is none, or it is over or not ours."""
        try:
            return Session(*self._serializer.loads(request.cookies.get(self.cookie, ""), max_age=_LIFETIME_SECONDS))
        except (BadSignature, TypeError):
            return None

    def is_of(self, session: Session, key_hash: str) -> bool:
        """Whether the session was made with the key that has this hash."""
        return hmac.compare_digest(session.mark, self._mark(key_hash))

    def save(self, response: Response, session: Session) -> None:
        value = self._serializer.dumps([session.key_id, session.mark, session.csrf])
        response.set_cookie(
            self.cookie,
            value,
            max_age=_LIFETIME_SECONDS,
            httponly=True,
            secure=self._secure,
            samesite="Strict",
            path="/",
        )

    def end(self, response: Response) -> None:
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="Strict")

    def check_origin(self) -> None:
        """Raises RequestForged where the browser says that another origin asks."""
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if site not in (None, "same-origin", "none"):
            raise RequestForged
        if site is None and origin is not None and urlsplit(origin).netloc not in (request.host, self._own):
            raise RequestForged

    def check(self, session: Session) -> None:
        """Raises RequestForged for a request that changes something and does not show the session's token."""
        if request.method in _SAFE:
            return
        self.check_origin()
        sent = request.headers.get(CSRF_HEADER)
        if sent is None and request.mimetype == "application/x-www-form-urlencoded":
            sent = request.form.get(CSRF_FIELD)
        if sent is None or not hmac.compare_digest(sent.encode(), session.csrf.encode()):
            raise RequestForged

    def _mark(self, key_hash: str) -> str:
        return hmac.new(self._secret, key_hash.encode(), hashlib.sha256).hexdigest()[:32]


def install(app: Flask, settings: Settings) -> None:
    secret = settings.session_secret.get_secret_value() or _kept_secret(settings.data_dir / "session_secret")
    made = Sessions(secret, settings.base_url, settings.port)
    app.extensions[_NAME] = made

    @app.after_request
    def _send_new_session(response: Response) -> Response:
        if (session := g.get("new_session")) is not None:
            made.save(response, session)
        return response


def sessions() -> Sessions:
    return cast(Sessions, current_app.extensions[_NAME])


def _kept_secret(path: Path) -> str:
    """Made on first use, readable by its owner only, and the same for all processes that share the data folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_once(path)
        return path.read_text().strip()
    except OSError as error:
        log.warning(
            "SESSION_SECRET is not set and none can be kept: who is signed in is so until a restart", reason=error
        )
        return secrets.token_urlsafe(32)


def _make_once(path: Path) -> None:
    """Another process that makes it at the same time must not find it empty."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    with suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
