"""Query parameters under `/api/` are refused when nobody reads them, or when they come twice."""

from __future__ import annotations

from flask import Flask, request
from pydantic import BaseModel

from meshroom_tasks.errors import RequestRefused
from web.problems import Fault, Refused


def install(app: Flask) -> None:
    @app.before_request
    def _refuse_what_nobody_reads() -> None:
        if request.endpoint is None or not request.path.startswith("/api/"):
            return
        known = _parameters(app.view_functions[request.endpoint])
        faults = []
        for name, values in request.args.lists():
            if name not in known:
                faults.append(Fault(f"/{name}", "unknown parameter", "query"))
            elif len(values) > 1:
                faults.append(Fault(f"/{name}", "give this parameter once", "query"))
        if faults:
            raise Refused(422, RequestRefused.code, "the query parameters are not acceptable; see `errors`", faults)


def _parameters(view: object) -> frozenset[str]:
    """Names of the parameters that the view declares through `input(..., location="query")`."""
    declared: list[tuple[type[BaseModel], str]] = getattr(view, "_spec", {}).get("args", [])
    return frozenset(name for model, location in declared if location == "query" for name in model.model_fields)
