"""Who computes, on what, and what waits."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from meshroom_tasks import topology
from meshroom_tasks.jobs.workers import without_worker
from web.pages.blueprints import page_blueprint
from web.pages.rendering import live_page
from web.services import services

blueprint = page_blueprint("workers", __name__)


@blueprint.get("/workers")
def show() -> ResponseReturnValue:
    parts = services()
    workers = parts.store.workers()
    queues = topology.names(parts.settings.intensive_queue)
    waiting = parts.store.waiting_steps()
    capacity = parts.store.capacity()
    return live_page(
        "workers.html",
        workers=workers,
        machines=sorted({worker.host for worker in workers}),
        queues=[(name, waiting.get(name, 0), capacity.get(name, 0)) for name in queues],
        unserved=without_worker(queues, workers),
        is_live=True,
    )
