"""Headers that keep a browser from doing more with an answer than it is meant for."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

from meshroom_tasks.settings import Settings

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_A_YEAR = "max-age=31536000"
_NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"
_DOCS = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_VIEWER = "pages_job.show"
_STYLE_OF_VIEWER = "'sha256-PXtZZkJMMyc18o/DN1ZEFOJ2qEGq95IQbVaJFMOXOb0='"
"""Of the model-viewer in web/static/vendor; a browser names another when it is replaced."""
_OPEN_TO_ALL_ORIGINS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag, X-Request-ID",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def install(app: Flask, settings: Settings) -> None:
    pages, viewers = (policy_of_pages(results_origin(settings), viewer=viewer) for viewer in (False, True))
    is_secure = settings.base_url.startswith("https://")

    @app.after_request
    def _add(response: Response) -> Response:
        headers = response.headers
        for name, value in _ALWAYS.items():
            headers[name] = value
        if request.endpoint == "docs.page":
            headers["Content-Security-Policy"] = _DOCS
        elif response.mimetype == "text/html":
            headers["Content-Security-Policy"] = viewers if request.endpoint == _VIEWER else pages
        else:
            headers["Content-Security-Policy"] = _NOTHING
        if is_secure:
            headers["Strict-Transport-Security"] = _A_YEAR
        if request.path.startswith("/results/"):
            headers.extend(_OPEN_TO_ALL_ORIGINS)
        else:
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers.setdefault("Cache-Control", "no-store")
        return response


def policy_of_pages(results: str = "", *, viewer: bool = False) -> str:
    """What a page may load: its own files, and models and pictures, which may be at the origin `results`.

    A viewer of models takes them apart in memory: `blob:`, also for its workers. Where there is one (`viewer`), it may
    compile WebAssembly that it brings along, and have the one style element whose digest is named.
    """
    elsewhere = f" {results}" if results else ""
    script, style = (" 'wasm-unsafe-eval'", f" {_STYLE_OF_VIEWER}") if viewer else ("", "")
    return (
        f"default-src 'none'; script-src 'self'{script}; style-src 'self'{style}; font-src 'self'; "
        f"img-src 'self' blob: data:{elsewhere}; connect-src 'self' blob:{elsewhere}; worker-src 'self' blob:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def results_origin(settings: Settings) -> str:
    """Where results are that the web app redirects to; empty where it sends them itself."""
    storage = urlsplit(settings.storage)
    if storage.scheme != "s3" or not settings.aws_presigned_urls:
        return ""
    endpoint = urlsplit(settings.aws_public_endpoint_url or settings.aws_endpoint_url)
    if endpoint.netloc:
        return f"{endpoint.scheme}://{endpoint.netloc}"
    return f"https://{storage.netloc}.s3.{settings.aws_region or 'us-east-1'}.amazonaws.com"
