"""Callbacks: what was posted, when, and with what success."""

from __future__ import annotations

from apiflask import APIBlueprint

from web import presenters
from web.schemas.requests import FailingQuery
from web.schemas.responses import Deliveries, Delivery, FailingEndpoints
from web.services import services
from web.tenancy import every_tenants, jobs_of, own_jobs

blueprint = APIBlueprint("deliveries", __name__, url_prefix="/api/v1", tag="Callbacks")


@blueprint.get("/jobs/<id:job_id>/deliveries")
@blueprint.output(Deliveries)
@blueprint.doc(operation_id="listDeliveries")
def list_deliveries(job_id: str) -> Deliveries:
    """The callbacks of a job, with every attempt

    Each attempt with its time, the status that was answered, and how the answer begins.
    """
    return presenters.deliveries(own_jobs().deliveries(job_id))


@blueprint.post("/jobs/<id:job_id>/deliveries/<id:delivery_id>/redeliver")
@blueprint.output(Delivery, status_code=202, description="It will be posted at once.")
@blueprint.doc(operation_id="redeliver")
def redeliver(job_id: str, delivery_id: str) -> Delivery:
    """Post a callback again

    With the same `webhook-id` and a new timestamp, from the start of the schedule, whatever became of it before.
    """
    view = own_jobs().redeliver(job_id, delivery_id)
    services().announce()
    return presenters.delivery(view)


@blueprint.get("/callbacks/failing")
@blueprint.input(FailingQuery, location="query", arg_name="query")
@blueprint.output(FailingEndpoints)
@blueprint.doc(operation_id="listFailingEndpoints")
def list_failing_endpoints(query: FailingQuery) -> FailingEndpoints:
    """Which callback endpoints do not receive

    Those whose last attempt was not answered with 2xx, the one that was tried last first, at most 100.
    """
    if query.all_tenants:
        return presenters.failing_endpoints(every_tenants().failing_endpoints())
    return presenters.failing_endpoints(jobs_of(query.tenant).failing_endpoints())
