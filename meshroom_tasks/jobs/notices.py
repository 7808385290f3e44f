"""The bodies of callbacks. Pure.

How a job ended is told in the form that clients rely on. The optional events have a `type` as well, by which a receiver
tells them apart; what they say of is over when they come late, so `timestamp` says when it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from meshroom_tasks.jobs.records import ErrorView, OptionalEvent, ResultFile

LARGEST_NOTICE = 20_000
"""Bytes; receivers commonly take little more. Results that do not fit are left out: the job lists them all."""

MAIN_RESULT = "texturedMesh.obj"


def result_url(base_url: str, job_id: str, name: str) -> str:
    """The address of one result. It needs no key: the job id cannot be guessed."""
    return f"{base_url}/results/{job_id}/{name}"


def completed_notice(
    job_id: str, metadata: Mapping[str, Any], results: Sequence[ResultFile], base_url: str
) -> dict[str, Any]:
    names = [item.name for item in results]
    main = MAIN_RESULT if MAIN_RESULT in names else next(iter(names), MAIN_RESULT)
    notice: dict[str, Any] = {
        "job_id": job_id,
        "status": "completed",
        "result_url": result_url(base_url, job_id, main),
        "metadata": metadata,
        "results": [
            {
                "name": item.name,
                "url": result_url(base_url, job_id, item.name),
                "size": item.size,
                "sha256": item.sha256,
                "media_type": item.media_type,
            }
            for item in results
        ],
    }
    while notice["results"] and len(json.dumps(notice, ensure_ascii=False).encode()) > LARGEST_NOTICE:
        notice["results"].pop()
    return notice


def failed_notice(job_id: str, metadata: Mapping[str, Any], error: ErrorView) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "status": "failed",
        "error": error.message,
        "error_code": error.code,
        "metadata": metadata,
    }


def event_notice(
    event: OptionalEvent, job_id: str, metadata: Mapping[str, Any], at: datetime, **what: Any
) -> dict[str, Any]:
    return {"type": event, "timestamp": at.isoformat(), "job_id": job_id, **what, "metadata": metadata}
