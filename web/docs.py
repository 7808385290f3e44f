"""The reading room: Swagger UI over our own document, every file from this server, no inline script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apiflask import APIBlueprint
from flask import Response, current_app, jsonify, send_from_directory
from swagger_ui_bundle import swagger_ui_path

from meshroom_tasks.errors import NotFound
from web.openapi.older import as_openapi_30

blueprint = APIBlueprint("docs", __name__, url_prefix="/docs", enable_openapi=False)

_ASSETS = Path(str(swagger_ui_path))
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
    url: "/docs/openapi-3.0.json",
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


@blueprint.get("/openapi-3.0.json")
def openapi_30() -> Response:
    document: dict[str, Any] = current_app.spec  # type: ignore[attr-defined]
    return jsonify(as_openapi_30(document))
