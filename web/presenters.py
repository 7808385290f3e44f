"""From the store's records to what clients see. Pure: addresses of results come in as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

from meshroom_tasks.catalogue import Attribute
from meshroom_tasks.egress import redact
from meshroom_tasks.graph import TemplateNode
from meshroom_tasks.jobs.endpoints import FailingEndpoint
from meshroom_tasks.jobs.records import (
    NO_CAMERA,
    ChunkView,
    DeliveryView,
    ErrorView,
    JobView,
    Page,
    ResultFile,
    StageView,
)
from meshroom_tasks.pipelines import Pipeline, Pipelines
from web.schemas import responses as out

ResultUrl = Callable[[str, ResultFile], str]
"""From a job's id and one of its results to the address that needs no key."""


def accepted(job_id: str) -> out.Accepted:
    return out.Accepted(job_id=job_id, status="queued", message=f"Job {job_id} has been queued for processing")


def job(view: JobView, result_url: ResultUrl) -> out.Job:
    return out.Job(
        id=view.id,
        job_id=view.id,
        tenant=view.tenant,
        status=view.status,
        progress=view.progress,
        seconds_left=view.seconds_left,
        queued_behind=view.queued_behind,
        created_at=view.created_at,
        updated_at=view.updated_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        pipeline=view.pipeline,
        settings={node: dict(values) for node, values in view.settings.items()},
        priority=view.priority,
        outputs=list(view.outputs),
        min_registered_share=view.options.min_registered_share,
        camera=None if view.options.camera == NO_CAMERA else out.CameraKnown(**vars(view.options.camera)),
        adjustments=[
            out.Adjustment(node=item.node, values=dict(item.values), code=item.code, message=item.message)
            for item in view.adjustments
        ],
        image_count=view.image_count,
        callback_url=redact(view.callback_url) if view.callback_url is not None else None,
        callback_events=list(view.callback_events),
        metadata=dict(view.metadata),
        engine=view.engine,
        stages=[_stage(stage) for stage in view.stages],
        reuse=out.Reuse(chunks=view.reuse.chunks, cached=view.reuse.cached),
        warnings=[dict(warning) for warning in view.warnings],
        results=[_result(view.id, result, result_url) for result in view.results],
        quality=dict(view.quality),
        error=_error(view.error) if view.error is not None else None,
        attempts=view.attempts,
        request_id=view.request_id,
        expires_in=view.expires_in,
        expires_at=view.expires_at,
        results_expire_at=view.results_expire_at,
        links=_links(view.id),
    )


def page(found: Page, result_url: ResultUrl) -> out.JobPage:
    return out.JobPage(data=[job(view, result_url) for view in found.jobs], next_cursor=found.next_cursor)


def delivery(view: DeliveryView) -> out.Delivery:
    return out.Delivery(
        id=view.id,
        job_id=view.job_id,
        event=view.event,
        status=view.status,
        url=redact(view.url),
        body=dict(view.body),
        created_at=view.created_at,
        next_attempt_at=view.next_attempt_at,
        attempts=[
            out.Attempt(
                number=attempt.number,
                at=attempt.at,
                status_code=attempt.status_code,
                error=attempt.error,
                seconds=attempt.seconds,
                response_head=attempt.response_head,
            )
            for attempt in view.attempts
        ],
    )


def deliveries(views: Iterable[DeliveryView]) -> out.Deliveries:
    return out.Deliveries(data=[delivery(view) for view in views])


def failing_endpoints(views: Iterable[FailingEndpoint]) -> out.FailingEndpoints:
    return out.FailingEndpoints(data=[out.FailingEndpoint(**vars(view)) for view in views])


def pipelines(found: Pipelines) -> out.PipelineList:
    return out.PipelineList(
        data=[
            out.Pipeline(
                name=pipeline.name,
                title=pipeline.title,
                description=pipeline.description,
                stages=[_pipeline_stage(pipeline, node, found) for node in pipeline.template.nodes],
            )
            for pipeline in found
        ]
    )


def job_path(job_id: str) -> str:
    return f"/api/v1/jobs/{quote(job_id, safe='')}"


def _pipeline_stage(pipeline: Pipeline, node: TemplateNode, found: Pipelines) -> out.PipelineStage:
    return out.PipelineStage(
        name=node.name,
        node_type=node.node_type,
        queue=found.policy(node.node_type).queue,
        attributes=_attributes(pipeline.attributes(node)),
    )


def _attributes(attributes: Mapping[str, Attribute]) -> dict[str, out.Attribute]:
    return {
        name: out.Attribute(
            type=attribute.kind,
            default=attribute.default,
            choices=list(attribute.choices) if attribute.choices is not None else None,
            minimum=attribute.minimum,
            maximum=attribute.maximum,
            attributes=_attributes(attribute.members),
        )
        for name, attribute in attributes.items()
    }


def _stage(view: StageView) -> out.Stage:
    return out.Stage(
        name=view.name,
        node_type=view.node_type,
        state=view.state,
        progress=view.progress,
        cached=view.cached,
        chunks=[_chunk(chunk) for chunk in view.chunks],
    )


def _chunk(view: ChunkView) -> out.Chunk:
    usage = view.usage
    return out.Chunk(
        index=view.index,
        state=view.state,
        progress=view.progress,
        cached=view.cached,
        attempts=view.attempts,
        worker=view.worker,
        started_at=view.started_at,
        finished_at=view.finished_at,
        usage=out.Usage(wall_seconds=usage.wall_seconds, cpu_seconds=usage.cpu_seconds, peak_bytes=usage.peak_bytes)
        if usage is not None
        else None,
        waiting=view.waiting,
    )


def _result(job_id: str, result: ResultFile, result_url: ResultUrl) -> out.Result:
    return out.Result(
        name=result.name,
        url=result_url(job_id, result),
        size=result.size,
        sha256=result.sha256,
        media_type=result.media_type,
    )


def _error(view: ErrorView) -> out.JobError:
    return out.JobError(
        code=view.code,
        message=view.message,
        stage=view.stage,
        chunk=view.chunk,
        worker=view.worker,
        log_tail=list(view.log_tail),
        context=dict(view.context),
    )


def _links(job_id: str) -> out.JobLinks:
    path = job_path(job_id)
    return out.JobLinks(
        self=path,
        cancel=f"{path}/cancel",
        requeue=f"{path}/requeue",
        extend=f"{path}/extend",
        logs=f"{path}/logs/{{stage}}",
        deliveries=f"{path}/deliveries",
    )
