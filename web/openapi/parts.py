"""Pieces of the document that several routes share, or that no schema model can say."""

from __future__ import annotations

from typing import Any

from web.schemas.uploads import NEW_UPLOAD_EXAMPLES

_BYTES: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_TEXT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}

FILE_RESPONSES: dict[int, Any] = {
    200: {"description": "The file, in its own media type.", "content": _BYTES},
    206: {"description": "The range that was asked for.", "content": _BYTES},
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
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
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
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
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
