"""Signing in with an API key, and out again."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from web import auth
from web.keyring import KeyRefused, TooManyWrongKeys
from web.pages.blueprints import page_blueprint
from web.pages.rendering import page
from web.sessions import sessions

blueprint = page_blueprint("signing_in", __name__)


@blueprint.get("/sign-in")
def show() -> ResponseReturnValue:
    if auth.is_open():
        return redirect(url_for("pages_jobs.show"), 303)
    return page("sign_in.html", next=_within(request.args.get("next")), problem=None)


@blueprint.post("/sign-in")
def sign_in() -> ResponseReturnValue:
    sessions().check_origin()
    to = _within(request.form.get("next"))
    try:
        auth.sign_in(request.form.get("key", "").strip())
    except KeyRefused:
        return _again(to, "This is no valid key.", 401)
    except TooManyWrongKeys as error:
        return _again(to, "Too many wrong keys came from your address. Try again in a minute.", error.http_status)
    return redirect(to, 303)


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    if (session := sessions().current()) is not None:
        sessions().check(session)
    response: Response = redirect(url_for("pages_signing_in.show"), 303)  # type: ignore[assignment]
    sessions().end(response)
    return response


def _again(to: str, problem: str, status: int) -> ResponseReturnValue:
    return page("sign_in.html", next=to, problem=problem), status


def _within(target: str | None) -> str:
    """A path of this service; anything else that somebody put into the address leads to the first page."""
    parts = urlsplit(target or "")
    fits = target and target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    return str(target) if fits else url_for("pages_jobs.show")
