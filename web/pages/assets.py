"""Style sheets, scripts and pictures, from this server alone. Addresses hold a digest of them all, so that none goes
stale, nor what one imports by its name."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from apiflask import APIBlueprint
from flask import Response, send_from_directory, url_for

FOLDER = Path(__file__).resolve().parents[1] / "static"
_YEAR = 365 * 86_400

blueprint = APIBlueprint("pages_assets", __name__, enable_openapi=False)


def asset_url(name: str) -> str:
    return url_for("pages_assets.static", digest=_digest(), name=name)


@blueprint.get("/static/<id:digest>/<path:name>")
def static(digest: str, name: str) -> Response:
    response = send_from_directory(FOLDER, name, max_age=_YEAR, conditional=True)
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    return response


@cache
def _digest() -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        found.update(path.relative_to(FOLDER).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]
