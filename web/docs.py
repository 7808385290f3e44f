"""The reading room: Swagger UI over our own document, every file from this server, no inline script."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from apiflask import APIBlueprint
from flask import Response, send_from_directory

from meshroom_tasks.errors import NotFound

blueprint = APIBlueprint("docs", __name__, url_prefix="/docs", enable_openapi=False)

_ASSETS = Path(str(files("flask_swagger_ui"))) / "dist"
_SERVED = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
_DAY = 86_400

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Meshroom Tasks: the API</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<script src="/docs/assets/swagger-ui-bundle.js" defer></script>
<script src="/docs/assets/start.js" defer></script>
</head>
<body><div id="swagger-ui"></div><noscript>The API is described in <a href="/openapi.json">/openapi.json</a>.</noscript>
</body>
</html>
"""

_START = """\
"use strict";
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
  });
});
"""


@blueprint.get("")
def page() -> Response:
    return Response(_PAGE, mimetype="text/html")


@blueprint.get("/assets/<name>")
def asset(name: str) -> Response:
    if name == "start.js":
        return Response(_START, mimetype="text/javascript")
    if name not in _SERVED:
        raise NotFound("the documentation has no such file")
    return send_from_directory(_ASSETS, name, max_age=_DAY)
