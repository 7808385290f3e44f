"""Which pipelines there are, and what can be set in them."""

from __future__ import annotations

from apiflask import APIBlueprint

from web import presenters
from web.schemas.responses import PipelineList
from web.services import services

blueprint = APIBlueprint("pipelines", __name__, url_prefix="/api/v1", tag="Pipelines")


@blueprint.get("/pipelines")
@blueprint.output(PipelineList)
@blueprint.doc(operation_id="listPipelines")
def list_pipelines() -> PipelineList:
    """The pipelines with their stages, and what can be set in them

    Of the engine that computes here: for each attribute its type, default and limits, as `settings` takes them.
    """
    return presenters.pipelines(services().pipelines)
