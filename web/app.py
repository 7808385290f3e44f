"""The Flask app, put together."""

from __future__ import annotations

import re
from typing import Any, cast

from apiflask import APIFlask
from werkzeug.middleware.proxy_fix import ProxyFix

from meshroom_tasks.settings import Settings, current_settings
from web import auth, converters, docs, parameters, problems, request_ids, security_headers, services
from web.api import deliveries, events, health, jobs, logs, metrics, pipelines, reconstruct, results, uploads, workers
from web.bodies import MAX_BYTES, StrictRequest
from web.openapi import document
from web.pages import assets, job, jobs_events, new_job, pictures, rendering, signing_in
from web.pages import jobs as jobs_page
from web.pages import workers as workers_page

_API_VERSION = "1.0.0"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")

_BLUEPRINTS = (
    reconstruct.blueprint,
    uploads.blueprint,
    jobs.blueprint,
    logs.blueprint,
    results.blueprint,
    events.blueprint,
    deliveries.blueprint,
    pipelines.blueprint,
    workers.blueprint,
    health.blueprint,
    metrics.blueprint,
    docs.blueprint,
    assets.blueprint,
    signing_in.blueprint,
    jobs_page.blueprint,
    jobs_events.blueprint,
    job.blueprint,
    pictures.blueprint,
    new_job.blueprint,
    workers_page.blueprint,
)


_CONFIG = {
    "MAX_CONTENT_LENGTH": MAX_BYTES,
    "SERVERS": [{"url": "/"}],
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "CONTACT": {"name": "Whoever runs this service"},
    "SECURITY_SCHEMES": {auth.SCHEME: auth.SECURITY_SCHEME},
    # `openapi.document` says these better.
    "AUTO_404_RESPONSE": False,
    "AUTO_VALIDATION_ERROR_RESPONSE": False,
    "AUTO_AUTH_ERROR_RESPONSE": False,
}


class WebApp(APIFlask):
    request_class = StrictRequest


def create_app(settings: Settings | None = None, parts: services.Services | None = None) -> APIFlask:
    """The app for these settings (default: those of the process), with its own services unless `parts` are given.

    Raises ValueError when no API key is set.
    """
    settings = settings or current_settings()
    app = WebApp(
        "web",
        title="Meshroom Tasks",
        version=_API_VERSION,
        docs_path=None,
        static_folder=None,  # type: ignore[arg-type]  # Flask takes None: no route for static files.
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Metadata goes back in the order it came in.
    app.config.update(_CONFIG, DESCRIPTION=document.description())
    # The request id comes first: what the others refuse bears it too. The key comes before anything is read.
    request_ids.install(app)
    security_headers.install(app, settings)
    problems.install(app)
    auth.install(app, settings)
    parameters.install(app)
    converters.install(app)
    rendering.install(app)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    services.install(app, parts or services.open_services(settings))
    if settings.proxy_hops:
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=0, x_host=0)  # type: ignore[method-assign]

    @app.spec_processor
    def _complete(found: dict[str, Any] | str) -> dict[str, Any]:
        endpoints = {_PARAMETER.sub(r"{\1}", rule.rule): rule.endpoint for rule in app.url_map.iter_rules()}
        return document.complete(cast(dict[str, Any], found), settings, endpoints)

    return app
