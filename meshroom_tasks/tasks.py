"""The Celery tasks: each looks up its step, calls the room that does the work, and reports to the store.

`step_task` is the frame around all of them: claim, heartbeat, log, failure, next hints.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from celery import Task

from meshroom_tasks import callbacks
from meshroom_tasks.celery_app import app
from meshroom_tasks.dispatch import flush
from meshroom_tasks.errors import EngineMismatch, tried
from meshroom_tasks.graph import node_inputs
from meshroom_tasks.handoff.locked_folders import locked_folder
from meshroom_tasks.handoff.preparation import graph_key
from meshroom_tasks.holding import Holding, StepFailed, hold
from meshroom_tasks.ingest import IngestLimits, ingest_photos
from meshroom_tasks.jobs.addresses import Address, lineage_of
from meshroom_tasks.jobs.records import AttemptView, Entry, ReadItem, Relief, Work
from meshroom_tasks.logs import bound, logger
from meshroom_tasks.monitors import tell_name
from meshroom_tasks.planning import block_sizes, stages_of_graph
from meshroom_tasks.registration import GATED_NODE_TYPE, check_registration
from meshroom_tasks.relief import adjusted, lower_settings
from meshroom_tasks.results import PUBLISHED_NODE_TYPES, ResultInputs, publish
from meshroom_tasks.service import Service, current_service

log = logger(__name__)

StepBody = Callable[[Service, Holding], None]

_BODIES: dict[str, StepBody] = {}
_NOTHING = "nothing was to be done"


def step_task(body: StepBody) -> Task:
    """Register `body` for steps of the kind that it is named after, and a task of that name that says there is one.

    The task runs whichever step of the same queue comes first; that one may be of another kind. What it returns is
    for monitors: which step that was.
    """
    _BODIES[body.__name__] = body

    @app.task(name=body.__name__, bind=True, throws=(StepFailed,))
    def run(task: Task, step_id: str) -> str:
        service = current_service()
        worker, every = task.request.hostname, service.settings.heartbeat_seconds
        try:
            with hold(service.store, service.storage, step_id, worker, every) as holding:
                if holding is None:
                    return _NOTHING
                work = holding.work
                if work.step_id != step_id:
                    tell_name(task, work.label)
                _BODIES[work.kind](service, holding)
                flush(service.store)  # The next stage starts while this one's log is put away.
                return work.label
        except BaseException:
            flush(service.store)  # A failure announces the next attempt, or the end.
            raise

    return run


@step_task
def ingest(service: Service, holding: Holding) -> None:
    """Fetch, check and fingerprint the photos; put them into storage."""
    work = holding.work
    with locked_folder(service.room.downloads(work.token)) as scratch:
        ingested = ingest_photos(
            work.image_urls,
            session=service.photo_session,
            storage=service.storage,
            limits=IngestLimits.of(service.settings).within(work.max_images, work.max_job_bytes),
            scratch=scratch,
            progress=holding.progress,
            stop=holding.stop_reason,
            uploads=service.store.uploads_of(work.job_id),
            client_photos=service.client_photos,
            use=partial(service.store.use_photos, work),
        )
    service.store.finish_ingest(work, ingested.photos, ingested.photos_digest, ingested.warnings, ingested.given)


@step_task
def plan(service: Service, holding: Holding) -> None:
    """Let the engine write the job's graph; read its stages from it."""
    work = holding.work
    engine = service.engine.identity()
    pipeline = service.pipelines.get(work.pipeline)
    with service.preparation.run(holding, engine=engine) as run:
        graph = service.engine.plan(
            photos=run.workspace.photos,
            template=pipeline.path,
            folder=run.path,
            overrides=adjusted(work.settings, work.adjustments),
            camera=work.options.camera,
            watch=holding,
            time_limit=service.settings.plan_timeout_seconds,
            block_sizes=block_sizes(
                pipeline.template,
                service.pipelines,
                len(work.photos),
                service.settings.chunk_block_size,
                service.store.capacity(),
            ),
        )
        service.storage.put_file(graph_key(work.job_id), run.graph, media_type="application/json")
    stages = stages_of_graph(graph, service.pipelines, service.settings.intensive_queue)
    service.store.finish_plan(work, engine, stages, holding.warnings)


@step_task
def chunk(service: Service, holding: Holding) -> None:
    """Compute one chunk of one stage, unless the stage cache has it."""
    work = holding.work
    lineage = lineage_of(work.reads)
    address = Address(work.engine, work.photos_digest, work.node_type, work.uid, work.chunk, lineage, work.block_size)
    if work.refresh:
        service.stage_cache.drop(address)
    if (entry := service.stage_cache.find(address)) is not None:
        holding.line("--- found in the stage cache")
        service.store.finish_chunk(work, entry, gate(service, holding, entry))
        return
    check_engine(service.engine.identity(), work.engine)
    policy = service.pipelines.policy(work.node_type)
    with service.preparation.run(holding) as run:
        holding.relief = partial(relief_of, service, work, run.graph.read_text())
        with tried(policy.attempts):
            usage = service.engine.compute(
                folder=run.path,
                stage=work.node,
                node_type=work.node_type,
                uid=work.uid,
                chunk=work.chunk if work.chunked else None,
                watch=holding,
                time_limit=service.settings.stage_timeout_seconds or policy.time_limit_seconds,
            )
        folder = run.stage_folder(work.node_type, work.uid)
        entry = service.stage_cache.put(address, folder, usage, keep_in=run.workspace, progress=holding.moved)
    service.store.finish_chunk(work, entry, [*holding.warnings, *gate(service, holding, entry)])


@step_task
def results(service: Service, holding: Holding) -> None:
    """Publish the model, its preview and the report."""
    work = holding.work
    job = service.store.job(work.job_id)
    needed = tuple(item for item in work.reads if item.node_type in PUBLISHED_NODE_TYPES)
    with service.preparation.run(holding, reads=needed) as run:
        inputs = ResultInputs(
            job_id=work.job_id,
            folders={item.stage: run.stage_folder(item.node_type, item.uid) for item in needed},
            stages=job.stages,
            photos=job.image_count,
            engine=work.engine,
            pipeline=work.pipeline,
            settings=work.settings,
            outputs=work.outputs,
            light_glb_from_bytes=service.settings.light_glb_from_bytes,
            warnings=job.warnings,
        )
        published = publish(inputs, run.path, service.storage)
    service.store.finish_results(work, published.files, published.quality)


@app.task(name="callback")
def callback(delivery_id: str) -> None:
    """One POST of one delivery; when the next is due is decided and recorded with the attempt."""
    service = current_service()
    due = service.store.claim_delivery(delivery_id)
    if due is None:
        return
    settings, now = service.settings, datetime.now(UTC)
    body = due.body.encode()
    outcome = callbacks.post(
        service.callback_session,
        due.url,
        body,
        callbacks.sign(settings.webhook_secret.get_secret_value(), due.id, now, body),
        connect=settings.callback_connect_seconds,
        total=settings.callback_total_seconds,
    )
    after = callbacks.next_attempt(
        callbacks.check_schedule(settings.callback_schedule),
        due.attempt,
        outcome,
        datetime.now(UTC),
        random.uniform(-1, 1),  # noqa: S311  # nosec B311  # spreads retries; nothing secret
    )
    attempt = AttemptView(due.attempt, now, outcome.status_code, outcome.error, outcome.seconds, outcome.response_head)
    service.store.record_attempt(due, attempt, after.status, after.at)
    with bound(job_id=due.job_id):
        log.info("callback sent", status=after.status, answer=outcome.status_code, error=outcome.error)


def gate(service: Service, holding: Holding, entry: Entry) -> tuple[Mapping[str, Any], ...]:
    """Judge the stage that places the photos, also where it came from the cache: each job has its own threshold.

    Returns warnings; raises TooFewCameras.
    """
    work = holding.work
    if work.node_type != GATED_NODE_TYPE:
        return ()
    item = ReadItem(
        work.node_type, work.uid, work.chunk, entry.digest, entry.bundle_key, work.node, entry.size, entry.unpacked_size
    )
    share = work.options.min_registered_share
    with service.preparation.entry(holding, item) as folder:
        return check_registration(folder, work, service.settings.min_registered_share if share is None else share)


def relief_of(service: Service, work: Work, graph: str, code: str) -> Relief:
    """What would help a chunk of the planned `graph` that failed with `code`, if it was for lack of memory."""
    policy, larger = service.pipelines.policy(work.node_type), service.settings.intensive_queue
    pipeline = service.pipelines.get(work.pipeline)
    known = {name: attribute.default for name, attribute in pipeline.catalogue.attributes(work.node_type).items()}
    values = {**known, **node_inputs(graph, work.node)}
    return Relief(
        larger_queue=larger if larger and policy.queue == "cpu" else None,
        adjustment=lower_settings(work.node, work.node_type, values, code),
    )


def check_engine(own: str, wanted: str) -> None:
    """Raises EngineMismatch: results of two versions must never be mixed in one job."""
    if own != wanted:
        raise EngineMismatch(
            f"this worker runs {own}, but the job was planned with {wanted}; requeue the job from its stage `plan`, "
            "or bring back a worker with that engine",
            worker_engine=own,
            job_engine=wanted,
        )
