"""Every error as RFC 9457 `application/problem+json`, with the service's stable code and the faults' places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from apiflask.exceptions import HTTPError
from flask import Flask, Response, json
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from meshroom_tasks.errors import RequestRefused, ServiceError, TooManyRequests
from meshroom_tasks.logs import logger
from web.request_ids import current_request_id

MEDIA_TYPE = "application/problem+json"

_log = logger(__name__)

Place = Literal["body", "query", "header"]

_RETRY_SECONDS = "5"

_CODES = {413: "request_too_large", 416: "range_not_satisfiable", 500: "internal_error"}

HTTP_PROBLEMS = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not take this method; the header Allow lists those that it takes",
    413: "the request body is too large; the limit is 1 MB",
    415: "send the body as JSON, with the header Content-Type: application/json",
    416: "the range begins after the end of the file",
    500: "something went wrong on our side; it has been logged under the request_id",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request: `pointer` is a JSON pointer into the body or the query parameters."""

    pointer: str
    detail: str
    place: Place = "body"


class MalformedJson(RequestRefused):
    code = "malformed_json"
    http_status = 400


class Refused(Exception):
    """A request with faults whose places are known."""

    def __init__(self, status: int, code: str, detail: str, faults: Sequence[Fault]) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.faults = tuple(faults)

    @classmethod
    def because(cls, found: Sequence[tuple[str, ServiceError]], place: Place = "body") -> Refused:
        """What was `found` at which pointer; its code if it is one throughout, else the general one."""
        codes = {error.code for _, error in found}
        first = found[0][1]
        return cls(
            status=first.http_status,
            code=codes.pop() if len(codes) == 1 else RequestRefused.code,
            detail=first.message if len(found) == 1 else f"{len(found)} things in the request are not acceptable",
            faults=[Fault(pointer, error.message, place) for pointer, error in found],
        )

    @classmethod
    def by_schema(cls, error: ValidationError, place: Place) -> Refused:
        """What pydantic found, its locations turned into JSON pointers."""
        faults = [Fault(json_pointer(found["loc"]), found["msg"], place) for found in error.errors()]
        what = "the request body" if place == "body" else "the query parameters"
        return cls(422, RequestRefused.code, f"{what} did not pass validation; see `errors`", faults)


def json_pointer(parts: Iterable[str | int]) -> str:
    """RFC 6901. pydantic's marker for "the key itself" is left out."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts if part != "[key]")


def install(app: Flask) -> None:
    app.register_error_handler(Refused, lambda error: problem(error.status, error.code, error.detail, error.faults))
    app.register_error_handler(ServiceError, _from_service)
    app.register_error_handler(HTTPError, _from_apiflask)
    app.register_error_handler(HTTPException, _from_werkzeug)
    app.register_error_handler(Exception, _from_bug)


def problem(
    status: int,
    code: str,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
    **extensions: Any,
) -> Response:
    """The response for a problem; `extensions` are further members, as RFC 9457 allows."""
    body = {
        "type": f"urn:meshroom-tasks:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"pointer": fault.pointer, "detail": fault.detail, "in": fault.place} for fault in faults],
        "request_id": current_request_id(),
        **extensions,
    }
    return Response(json.dumps(body), status=status, mimetype=MEDIA_TYPE, headers=dict(headers or {}))


def code_of(status: int) -> str:
    """The code of problems that are not the service's own but HTTP's."""
    return _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_"))


def _from_service(error: ServiceError) -> Response:
    status = error.http_status
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "ApiKey"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request failed", code=error.code, exc_info=error)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_SECONDS
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return problem(status, error.code, HTTP_PROBLEMS[status])
    return problem(status, error.code, error.message, headers=headers)


def _from_apiflask(error: HTTPError) -> Response:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        refused = Refused.by_schema(cause, "query" if "query" in error.detail else "body")
        return problem(refused.status, refused.code, refused.detail, refused.faults)
    return problem(error.status_code, code_of(error.status_code), error.message or "")


def _from_werkzeug(error: HTTPException) -> Response | HTTPException:
    status = error.code
    if status is None or status < HTTPStatus.BAD_REQUEST:
        return error  # A redirect.
    headers = {name: value for name, value in error.get_headers() if name.lower() not in ("content-type", "location")}
    return problem(status, code_of(status), HTTP_PROBLEMS.get(status, error.description or error.name), headers=headers)


def _from_bug(error: Exception) -> Response:
    _log.error("request failed", code="internal_error", exc_info=error)
    return problem(500, "internal_error", HTTP_PROBLEMS[500])
