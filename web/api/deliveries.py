"""The callbacks of a job: what was posted, when, and with what success."""

from __future__ import annotations

from apiflask import APIBlueprint

from web import presenters
from web.schemas.responses import Deliveries, Delivery
from web.services import services
from web.tenancy import own_jobs

blueprint = APIBlueprint("deliveries", __name__, url_prefix="/api/v1/jobs", tag="Callbacks")


@blueprint.get("/<id:job_id>/deliveries")
@blueprint.output(Deliveries)
@blueprint.doc(operation_id="listDeliveries")
def list_deliveries(job_id: str) -> Deliveries:
    """The callbacks of a job, with every attempt"""
    return presenters.deliveries(own_jobs().deliveries(job_id))


@blueprint.post("/<id:job_id>/deliveries/<id:delivery_id>/redeliver")
@blueprint.output(Delivery, status_code=202, description="It will be posted at once.")
@blueprint.doc(operation_id="redeliver")
def redeliver(job_id: str, delivery_id: str) -> Delivery:
    """Post a callback again

    With the same `webhook-id` and a new timestamp, from the start of the schedule, whatever became of it before.
    """
    view = own_jobs().redeliver(job_id, delivery_id)
    services().announce()
    return presenters.delivery(view)
