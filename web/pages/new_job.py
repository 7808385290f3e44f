"""Where photos come in."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from meshroom_tasks.ingest.limits import IngestLimits
from web.auth import ScopeMissing, caller
from web.pages.blueprints import page_blueprint
from web.pages.rendering import page
from web.pages.settings_shown import shown_settings
from web.services import services

blueprint = page_blueprint("new_job", __name__)


@blueprint.get("/new")
def show() -> ResponseReturnValue:
    if "submit" not in caller().scopes:
        raise ScopeMissing("submit")
    parts = services()
    pipelines = [(pipeline, tuple(shown_settings(pipeline))) for pipeline in parts.pipelines]
    pipelines.sort(key=lambda item: item[0].name != "default")
    return page("new_job.html", pipelines=pipelines, limits=IngestLimits.of(parts.settings))
