"""From a template to an answer: what every page shows beside its own matter."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Flask, Response, g, make_response, render_template, request

from web import auth
from web.pages import advice, wording
from web.pages.assets import asset_url, module_script
from web.sessions import OPEN, Session


def install(app: Flask) -> None:
    """Words for figures, to be used in templates."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        seconds=wording.seconds,
        roughly=wording.roughly,
        filesize=wording.size,
        number=wording.number,
        moment=wording.moment,
        job_title=wording.job_title,
        stage_title=wording.stage_title,
        now_doing=wording.now_doing,
        cause_lines=wording.cause_lines,
        advice_for_warning=advice.for_warning,
        advice_for_failure=advice.for_failure,
    )
    app.jinja_env.globals.update(many=wording.many, why_waiting=wording.why_waiting)
    app.jinja_env.globals.update(asset_url=asset_url, module_script=module_script)


def page(template: str, **values: Any) -> Response:
    """HTML that no cache keeps, unless the browser asks whether it is still the same."""
    response = make_response(render_template(template, **values, **_common()))
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def live_page(template: str, **values: Any) -> Response:
    """A page that asks again for itself: 304 while nothing in it has changed."""
    response = page(template, **values)
    if "new_session" not in g:
        response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
        response.make_conditional(request)
    return response


def _common() -> dict[str, Any]:
    session: Session | None = g.get("session")
    caller = g.get("caller")
    return {
        "csrf_token": session.csrf if session is not None else "",
        "caller": caller,
        "is_open": session is not None and session.key_id == OPEN,
        "may_change": caller is not None and "submit" in caller.scopes,
        "is_admin": caller is not None and "admin" in caller.scopes,
        "key_header": auth.HEADER,
    }
