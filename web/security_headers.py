"""Headers that keep a browser from doing more with an answer than it is meant for."""

from __future__ import annotations

from flask import Flask, Response, request

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"
_DOCS = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OPEN_TO_ALL_ORIGINS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag, X-Request-ID",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def install(app: Flask) -> None:
    @app.after_request
    def _add(response: Response) -> Response:
        response.headers.extend(_ALWAYS)
        response.headers["Content-Security-Policy"] = _DOCS if request.endpoint == "docs.page" else _NOTHING
        if request.path.startswith("/results/"):
            response.headers.extend(_OPEN_TO_ALL_ORIGINS)
        else:
            response.headers.setdefault("Cache-Control", "no-store")
        return response
