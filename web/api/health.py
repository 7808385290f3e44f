"""For load balancers and orchestrators."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from meshroom_tasks import topology
from meshroom_tasks.jobs.workers import WorkerView, without_worker
from web.auth import is_admin
from web.problems import problem
from web.readiness import OK, look
from web.schemas.responses import Health, Readiness, RefusingWorker
from web.services import services

blueprint = APIBlueprint("health", __name__, tag="Health")

_BROKER_SECONDS = 2.0
_STORAGE_SECONDS = 10.0
"""How long an outcome stands. That of the storage costs a write: nothing less finds a full disk or a lost right."""


@blueprint.get("/healthz")
@blueprint.output(Health)
@blueprint.doc(operation_id="healthz")
def healthz() -> Health:
    """Is the process alive?

    Touches nothing: neither database nor broker nor storage.
    """
    return Health(status="ok")


@blueprint.get("/readyz")
@blueprint.output(Readiness)
@blueprint.doc(operation_id="readyz", responses={503: "Something is missing; `detail` says what."})
def readyz() -> Readiness | Response:
    """Can the service take jobs, and do them, now?

    Asks the database, the broker and the object storage, and whether every queue has a worker. While the process
    drains, and where one of them is missing, 503 with the reason. Says too which workers refuse to take tasks. Jobs are
    taken all the same as long as the database is there: nothing is lost, but nothing goes on either. What was found of
    the broker stands for 2 seconds, of the storage for 10 while it is there.
    """
    parts = services()
    if parts.streams.closing:
        return problem(503, "not_ready", "this process is stopping; others answer")
    checks = {
        "database": look("database", parts.store.ping),
        "broker": parts.checkups.outcome("broker", parts.check_broker, _BROKER_SECONDS),
        "storage": parts.checkups.outcome("storage", parts.storage.check, _STORAGE_SECONDS),
    }
    missing = [part for part, outcome in checks.items() if outcome != OK]
    if missing:
        return problem(503, "not_ready", f"cannot be reached right now: {', '.join(missing)}", checks=checks)
    workers, told = parts.store.workers(), is_admin()
    refusing = [_refusing(view, told=told) for view in workers if view.state == "refused"]
    if alone := without_worker(topology.names(parts.settings.intensive_queue), workers):
        return problem(
            503,
            "not_ready",
            f"no worker takes tasks from: {', '.join(alone)}",
            checks=checks,
            refusing=[one.model_dump() for one in refusing],
            queues_without_worker=list(alone),
        )
    return Readiness(
        status="ready",
        checks=checks,
        refusing=refusing,
        queues_without_worker=[],
    )


def _refusing(view: WorkerView, *, told: bool) -> RefusingWorker:
    """A reason may name folders and drivers of the machine: not for everybody."""
    return RefusingWorker(name=view.name, reason=view.refusal if told else None)
