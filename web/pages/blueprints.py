"""What all pages have in common: they are no part of the API's document, and say in HTML what went wrong."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.logs import logger
from web.keyring import KeyRefused
from web.pages.rendering import page

_log = logger(__name__)


def page_blueprint(name: str, import_name: str) -> APIBlueprint:
    """A blueprint `pages_<name>` for views that answer a browser."""
    made = APIBlueprint(f"pages_{name}", import_name, enable_openapi=False)
    made.register_error_handler(KeyRefused, _ask_for_key)
    made.register_error_handler(ServiceError, _say)
    return made


def _ask_for_key(error: KeyRefused) -> ResponseReturnValue:
    if request.headers.get("X-Requested-With"):  # A script that keeps a page up to date, which cannot follow to a form.
        return Response(status=401)
    return redirect(url_for("pages_signing_in.show", next=request.full_path.rstrip("?")), 303)


def _say(error: ServiceError) -> ResponseReturnValue:
    if error.http_status >= 500:
        _log.error("page failed", code=error.code, exc_info=error)
    return page("error.html", title="This did not work", error=error, status=error.http_status), error.http_status
