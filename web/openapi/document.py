"""Completing APIFlask's document: clean component names, problems, security, webhooks, and this deployment's limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.settings import Settings
from meshroom_tasks.stops import Stopped
from web import auth, problems
from web.openapi.parts import BODIES, DESCRIPTION, IDEMPOTENCY_KEY, LINKS, TAGS, WEBHOOK_HEADERS
from web.schemas import callbacks, requests, responses, uploads, workers

Document = dict[str, Any]

_REF = "#/components/schemas/"
_OPTIONAL = "Only where `callback_events` of the job asks for it."
_RECEIVED: tuple[type[BaseModel], ...] = (
    requests.Reconstruction,
    requests.Requeue,
    requests.Extension,
    requests.UploadExtension,
    uploads.NewUpload,
)
_SENT: tuple[type[BaseModel], ...] = (
    responses.Accepted,
    responses.Job,
    responses.JobPage,
    responses.Deliveries,
    responses.Delivery,
    responses.FailingEndpoints,
    uploads.Upload,
    uploads.UploadedFile,
    responses.PipelineList,
    workers.WorkerList,
    responses.Health,
    responses.Readiness,
    responses.Problem,
    callbacks.CompletedCallback,
    callbacks.FailedCallback,
    callbacks.StartedEvent,
    callbacks.StageCompletedEvent,
    callbacks.ExpiringEvent,
)


def description() -> str:
    """The introduction, with the codes of all errors that this process knows."""
    known = [error for error in _all_errors() if not issubclass(error, Stopped)]
    refused = sorted(
        {(error.code, error.http_status) for error in known if error.http_status < 500}
        | {(problems.code_of(status), status) for status in problems.HTTP_PROBLEMS}
    )
    failed = sorted({error.code for error in known if error.http_status >= 500})
    answers = "\n".join(f"| `{code}` | {status} |" for code, status in refused)
    return f"""{DESCRIPTION}
### Codes

Of answers; those about photos are codes of failed jobs too:

| code | status |
|---|---|
{answers}

Of failed jobs, or of the service: {", ".join(f"`{code}`" for code in failed)}.
"""


def complete(document: Document, settings: Settings, endpoints: Mapping[str, str]) -> Document:
    """The document with everything that APIFlask cannot know. `document` is changed and returned.

    `endpoints`: those of the app's routes by the paths of the document.
    """
    document["components"]["schemas"] = _schemas(settings)
    document["tags"] = [{"name": name, "description": what} for name, what in TAGS.items()]
    document["security"] = [{auth.SCHEME: []}]
    for (path, method), body in BODIES.items():
        document["paths"][path][method]["requestBody"] = body
    for (path, method, status), links in LINKS.items():
        document["paths"][path][method]["responses"][status]["links"] = links
    for path, method, operation in _operations(document):
        _say_parameters(operation)
        _say_body(operation, document["components"]["schemas"])
        _say_security(operation, path, method, endpoints)
        _say_errors(operation)
    document["webhooks"] = _webhooks()
    document["paths"]["/api/v1/reconstruct"]["post"]["callbacks"] = {
        name: {"{$request.body#/callback_url}": item} for name, item in _webhooks("callBack").items()
    }
    document["paths"]["/api/v1/reconstruct"]["post"]["parameters"].append(IDEMPOTENCY_KEY)
    return document


def _schemas(settings: Settings) -> dict[str, Any]:
    received: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in _RECEIVED]
    sent: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "serialization") for model in _SENT]
    _, found = models_json_schema([*received, *sent], ref_template=f"{_REF}{{model}}")
    schemas: dict[str, Any] = found["$defs"]
    schemas["Problem"]["additionalProperties"] = True  # Extension members, as RFC 9457 allows.
    images = schemas["Reconstruction"]["properties"]["image_urls"]
    images.update(minItems=1, maxItems=settings.max_images)
    return dict(sorted(schemas.items()))


def _operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _say_parameters(operation: dict[str, Any]) -> None:
    for parameter in operation["parameters"]:
        schema = parameter["schema"]
        parameter.pop("title", None)
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        # In a query, "null" is the absence of the parameter.
        kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
        if kinds:
            schema.update(kinds[0])
            schema.pop("default", None)


def _say_body(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """No body reads as an empty object: it may be left out where nothing in it is required."""
    if "requestBody" not in operation:
        return
    body = operation["requestBody"]
    names = [str(content["schema"].get("$ref", "")).removeprefix(_REF) for content in body["content"].values()]
    if any(schemas[name].get("required") for name in names if name):
        body["required"] = True


def _say_security(operation: dict[str, Any], path: str, method: str, endpoints: Mapping[str, str]) -> None:
    if not path.startswith("/api/"):
        operation["security"] = []
        return
    scope = auth.scope_needed(endpoints[path], method.upper())
    operation["security"] = [{auth.SCHEME: []}]
    operation["x-scope"] = scope
    operation["responses"]["403"] = {"description": f"The key has not the scope `{scope}`."}


def _say_errors(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if operation["security"]:
        answers.setdefault("401", {"description": "The key is missing or wrong."})
        answers.setdefault("429", {"description": "Too often; `Retry-After` says when to come back."})
    places = {parameter["in"] for parameter in operation["parameters"]}
    if "path" in places:
        answers.setdefault("404", {"description": "There is nothing of this name."})
    if "query" in places or "requestBody" in operation:
        answers.setdefault("422", {"description": "The request is well formed but not acceptable; see `errors`."})
    if "requestBody" in operation:
        answers.setdefault("400", {"description": "The body is malformed."})
        answers.setdefault("413", {"description": "The body is too large: JSON has at most 1 MB."})
        answers.setdefault("415", {"description": "The body is not of a declared media type that is taken here."})
    if not any(status[0] == "4" for status in answers):
        answers["4XX"] = {"description": "The request is malformed."}
    answers.setdefault("default", {"description": "Any other problem."})
    for status, answer in answers.items():
        if status == "default" or status[0] in "45":
            answer["content"] = {problems.MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}}
        elif status[0] == "3":
            answer.pop("content", None)
    operation["responses"] = dict(sorted(answers.items()))


def _webhooks(prefix: str = "receive") -> dict[str, Any]:
    """By their names; `prefix` begins their operation ids, of which each stands once in a document."""
    found = {
        "job.completed": _webhook(
            "A job is completed", "CompletedCallback", "Its results can be fetched without a key."
        ),
        "job.failed": _webhook("A job has failed, or was cancelled", "FailedCallback", "`error_code` says why."),
        "job.started": _webhook("A job has begun", "StartedEvent", _OPTIONAL),
        "job.stage_completed": _webhook("A stage of a job is done", "StageCompletedEvent", _OPTIONAL),
        "job.expiring": _webhook("A job, or its results, will be removed", "ExpiringEvent", _OPTIONAL),
    }
    for name, item in found.items():
        item["post"]["operationId"] = f"{prefix}_{name.replace('.', '_')}"
    return found


def _webhook(summary: str, schema: str, what: str) -> dict[str, Any]:
    return {
        "post": {
            "tags": ["Callbacks"],
            "summary": summary,
            "description": f"{what} Posted to the job's `callback_url` until it is answered with 2xx, for more than a "
            "day, as Standard Webhooks 1.0 describes. Redirects are not followed; 410 ends the attempts.",
            "parameters": WEBHOOK_HEADERS,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"{_REF}{schema}"}}},
            },
            "responses": {
                "2XX": {"description": "Received."},
                "410": {"description": "Do not send this again."},
                "default": {"description": "Not received; it will be sent again later."},
            },
            "security": [],
        }
    }


def _all_errors(root: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    for error in root.__subclasses__():
        yield error
        yield from _all_errors(error)
