"""Style sheets, scripts and pictures, from this server alone. Addresses hold a digest of them all, so that none goes
stale, nor what one imports by its name."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from apiflask import APIBlueprint
from flask import Response, send_from_directory, url_for
from markupsafe import Markup

FOLDER = Path(__file__).resolve().parents[1] / "static"
_YEAR = 365 * 86_400
_IMPORT = re.compile(r'^import [^"]*"\./([\w.-]+)";', re.MULTILINE)

blueprint = APIBlueprint("pages_assets", __name__, enable_openapi=False)


def asset_url(name: str) -> str:
    return url_for("pages_assets.static", digest=_digest(), name=name)


def module_script(name: str) -> Markup:
    """The element that runs a module of `js/`. What it imports is asked for at once, and not one after the other."""
    preloads = (Markup('<link rel="modulepreload" href="{}">').format(asset_url(one)) for one in _imports(name))
    return Markup("\n").join([*preloads, Markup('<script type="module" src="{}"></script>').format(asset_url(name))])


@blueprint.get("/static/<id:digest>/<path:name>")
def static(digest: str, name: str) -> Response:
    response = send_from_directory(FOLDER, name, max_age=_YEAR, conditional=True)
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    return response


@cache
def _imports(name: str) -> tuple[str, ...]:
    """All modules that this one needs before it runs, each once."""
    found: dict[str, None] = {}
    for other in _IMPORT.findall((FOLDER / name).read_text()):
        path = f"{name.rpartition('/')[0]}/{other}"
        found |= dict.fromkeys((path, *_imports(path)))
    return tuple(found)


@cache
def _digest() -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        found.update(path.relative_to(FOLDER).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]
