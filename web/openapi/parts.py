"""Pieces of the document that several routes share, or that no schema model can say."""

from __future__ import annotations

from typing import Any

from web.schemas.uploads import NEW_UPLOAD_EXAMPLES

_BYTES: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_ANY_BYTES: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_TEXT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}

FILE_RESPONSES: dict[int, Any] = {
    200: {"description": "The file, in its own media type.", "content": _ANY_BYTES},
    206: {"description": "The range that was asked for.", "content": _ANY_BYTES},
    304: "You have this file already.",
    307: "The file is at `Location`, for an hour.",
    416: "The range begins after the end of the file.",
}

ZIP_RESPONSES: dict[int, Any] = {
    200: {
        "description": "All results in one archive.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    },
}

_EVENTS: dict[str, Any] = {
    "description": "Events as they happen; a comment every 15 s keeps the connection open.",
    "content": {"text/event-stream": {"example": 'event: progress\ndata: {"progress": 0.25, "seconds_left": 410}\n\n'}},
}

EVENT_RESPONSES: dict[int, Any] = {
    200: _EVENTS,
    503: "Too many streams are open; try again, or ask without following.",
}

LOG_RESPONSES: dict[int, Any] = {
    200: {"description": "The log as far as it is written.", "content": {**_TEXT, **_EVENTS["content"]}},
    206: {"description": "The range that was asked for.", "content": _TEXT},
    416: "There is nothing there (yet).",
    503: EVENT_RESPONSES[503],
}

TAGS = {
    "Jobs": "Submit a reconstruction, watch it, change its course.",
    "Uploads": "Photos from a disk instead of an address.",
    "Results": "The models and what was measured of them.",
    "Callbacks": "What is posted to `callback_url`, and each attempt to do so.",
    "Pipelines": "Which pipelines there are, and what can be set in them.",
    "Workers": "Who computes, on what, and how it is doing.",
    "Health": "For load balancers, orchestrators and monitoring.",
}

WEBHOOK_HEADERS: list[dict[str, Any]] = [
    {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "description": "The same on every attempt; use it to recognise repetitions.",
        "schema": {"type": "string"},
        "example": "msg_3b0c8d5c5d9f4f6f8a1d2b3c4d5e6f70",
    },
    {
        "name": "webhook-timestamp",
        "in": "header",
        "required": True,
        "description": "Of this attempt, in seconds since 1970.",
        "schema": {"type": "string"},
        "example": "1793000000",
    },
    {
        "name": "webhook-signature",
        "in": "header",
        "required": False,
        "description": "When a secret is set: `v1,` and the base64 of the HMAC-SHA256 of "
        "`<webhook-id>.<webhook-timestamp>.<raw body>`; several signatures are separated by spaces.",
        "schema": {"type": "string"},
        "example": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    },
]

_JOB_OPERATIONS = ("getJob", "followJob", "cancelJob", "requeueJob", "deleteJob", "listDeliveries", "getResults")
_UPLOAD_OPERATIONS = ("getUpload", "deleteUpload")

# By path, method and status of an answer: what can be asked with the id that it brings.
LINKS: dict[tuple[str, str, str], dict[str, Any]] = {
    ("/api/v1/reconstruct", "post", "202"): {
        name: {"operationId": name, "parameters": {"job_id": "$response.body#/job_id"}} for name in _JOB_OPERATIONS
    },
    ("/api/v1/uploads", "post", "201"): {
        **{
            name: {"operationId": name, "parameters": {"upload_id": "$response.body#/upload_id"}}
            for name in _UPLOAD_OPERATIONS
        },
        "putFile": {
            "operationId": "putFile",
            "parameters": {"upload_id": "$response.body#/upload_id", "number": "0"},
            "description": "Of the first file; where `send` says so.",
        },
    },
    ("/api/v1/jobs/{job_id}/deliveries", "get", "200"): {
        "redeliver": {
            "operationId": "redeliver",
            "parameters": {"job_id": "$request.path.job_id", "delivery_id": "$response.body#/data/0/id"},
        },
    },
}

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Your name for this request: sent again under it, it answers with the same job.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "order-4711-model-1",
}

# Bodies that are no JSON, or not always.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("/api/v1/uploads", "post"): {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/NewUpload"},
                "examples": NEW_UPLOAD_EXAMPLES,
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
                    },
                    "required": ["file"],
                }
            },
        },
    },
    ("/api/v1/uploads/{upload_id}/files/{number}", "put"): {"required": True, "content": _BYTES},
}

DESCRIPTION = """\
Photos in, textured 3D mesh out.

Send the addresses of photos to `POST /api/v1/reconstruct`; the job runs on workers, and its outcome is posted to your
`callback_url`. `GET /api/v1/jobs/{job_id}` tells how it is doing at any time.

Everything under `/api/` needs the header `X-API-Key`: a key with the scope `read` to look at something, with `submit`
to change something. Every error is an RFC 9457 problem (`application/problem+json`) with a stable `code`, the places of
the faults in `errors`, and a `request_id` to quote when you ask for help. Send your own id as `X-Request-ID` (8 to 64
letters, digits, `_` or `-`) to find a request in the logs of both sides.

```sh
curl -H "X-API-Key: $X_API_KEY" -H "Content-Type: application/json" \\
  -d '{"image_urls": ["https://photos.example.com/1.jpg", "https://photos.example.com/2.jpg",
       "https://photos.example.com/3.jpg"],
       "callback_url": "https://shop.example.com/hook", "metadata": {"order": 7}}' \\
  http://127.0.0.1:8000/api/v1/reconstruct
```
"""
