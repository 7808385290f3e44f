"""What clients send. Unknown fields are refused, and nothing is converted: `"5"` is not a number."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from meshroom_tasks.api_keys import TENANT_NAME
from meshroom_tasks.jobs.cursors import PATTERN as CURSOR
from meshroom_tasks.jobs.records import JobStatus, OptionalEvent

MAX_METADATA_BYTES = 16_384
SHORTEST_SPAN, LONGEST_SPAN, LONGEST_UPLOAD = 60, 3_155_760_000, 604_800
"""Seconds: a minute, a hundred years, a week."""

Output = Literal["obj", "glb", "usdz", "ply"]

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Camera(Body):
    """At least one of the two."""

    field_of_view_degrees: float | None = Field(
        None,
        ge=1,
        le=179,
        description="Along the longer side of the photos, in degrees: for photos whose EXIF holds no focal length. "
        "Without it, 45. Of more than 100, Meshroom takes the lens for a fisheye.",
    )
    sensor_width_mm: float | None = Field(
        None,
        ge=1,
        le=100,
        description="The longer side of the sensor, in mm: for photos whose EXIF holds a focal length and the camera's "
        "name. It goes before the engine's own database of sensors.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Camera:
        if self.field_of_view_degrees is None and self.sensor_width_mm is None:
            raise ValueError("say field_of_view_degrees, sensor_width_mm, or both")
        return self


class Reconstruction(Body):
    image_urls: list[str] = Field(
        description="Addresses (at most 2,048 characters) of the photos, each of another view of the same thing: http "
        "or https, where private networks are refused; `upload://<upload id>/<file name>`, or `upload://<upload id>` "
        "for all files of an upload (see `POST /api/v1/uploads`); `s3://<bucket>/<key>`, or `s3://<bucket>/<prefix>/` "
        "for all photos below a prefix, in buckets that the service allows.",
        json_schema_extra={"items": {"type": "string", "format": "uri", "maxLength": 2048}},
    )
    callback_url: str | None = Field(
        None,
        description="Where the outcome is posted, again and again until it is received. Without it, ask for the job.",
        json_schema_extra={"format": "uri"},
    )
    callback_events: list[OptionalEvent] = Field(
        default_factory=list,
        description="What is posted to `callback_url` besides the outcome; see the webhooks. Default: nothing.",
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="Any JSON object of at most 16 kB; it comes back as it was sent in the job and in the callback.",
    )
    pipeline: str = Field("default", description="The name of a pipeline; see `GET /api/v1/pipelines`.")
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Attributes to set, by node: `{node: {attribute: value}}`. `GET /api/v1/pipelines` lists them.",
    )
    priority: int = Field(5, ge=0, le=9, description="0 to 9; higher goes first.")
    min_registered_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The share of the photos that must be placed after StructureFromMotion for the job to go on (and "
        "never fewer than three photos); default: the service's, usually 0.3.",
    )
    camera: Camera | None = Field(
        None, description="What you know of the camera where the photos do not tell it; see the warnings of the job."
    )
    outputs: list[Output] = Field(
        ["obj", "glb"],
        min_length=1,
        description="Which models to make: `obj` with its materials and textures; `glb` for viewers on the web; `usdz` "
        "for augmented reality on Apple's devices; `ply` with the texture as colours of the vertices. A job with the "
        "same photos and settings and other outputs computes no stage anew.",
    )

    expires_in: float | None = Field(
        None,
        ge=SHORTEST_SPAN,
        le=LONGEST_SPAN,
        description="Seconds after its end, after which the job goes with all that it has; default: the service's, "
        "usually never. The service may allow less.",
    )

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"metadata may have {MAX_METADATA_BYTES} bytes as compact JSON, not {size}")
        return value

    @field_validator("outputs", "callback_events")
    @classmethod
    def _once_each(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))


class Requeue(Body):
    from_stage: str | None = Field(
        None,
        description="Compute this stage and all that follow from it anew. Without it, only what did not finish runs.",
        examples=["Meshing"],
    )


class Extension(Body):
    expires_in: float = Field(
        ge=SHORTEST_SPAN, le=LONGEST_SPAN, description="Seconds from now; the service may allow less."
    )


class UploadExtension(Body):
    expires_in: float = Field(ge=SHORTEST_SPAN, le=LONGEST_UPLOAD, description="Seconds from now.")


class JobsQuery(Query):
    limit: int = Field(20, ge=1, le=100, description="Jobs on a page.")
    cursor: str | None = Field(None, pattern=CURSOR, description="`next_cursor` of the page before.")
    status: JobStatus | None = Field(None, description="Only jobs in this state.")
    created_after: AwareDatetime | None = Field(
        None, description="Only jobs created after this moment: RFC 3339, with a time zone; `+` is sent as `%2B`."
    )
    tenant: str | None = Field(
        None,
        pattern=f"^{TENANT_NAME.pattern}$",
        description="Jobs of this tenant; for another than that of the key, it needs the scope `admin`.",
    )

    @field_validator("created_after", mode="before")
    @classmethod
    def _no_number(cls, value: object) -> object:
        """Pydantic would take one for seconds since 1970."""
        if isinstance(value, str) and not _MOMENT.fullmatch(value):
            raise ValueError("send a moment as 2026-11-23T17:00:00Z, or with another time zone")
        return value

    @field_validator("created_after")
    @classmethod
    def _of_this_era(cls, value: datetime | None) -> datetime | None:
        try:
            return value.astimezone(UTC) if value is not None else None
        except OverflowError:
            raise ValueError("there is no such moment in UTC") from None


class FailingQuery(Query):
    tenant: str | None = Field(
        None,
        pattern=f"^{TENANT_NAME.pattern}$",
        description="Endpoints of this tenant; for another than that of the key, it needs the scope `admin`.",
    )
    all_tenants: bool = Field(False, description="Endpoints of all tenants; it needs the scope `admin`.")


class LogQuery(Query):
    chunk: int = Field(0, ge=0, le=1_000_000, description="Which chunk of the stage.")
    tail: int | None = Field(None, ge=1, le=10_000, description="Only so many lines from the end.")
    follow: bool = Field(
        False,
        description="Send the log as server-sent events while it is written: `lines`, each with a list of whole lines, "
        "`restart` when it was begun anew, and `end`. `Last-Event-ID` goes on where a stream broke off.",
    )


RECONSTRUCTION_EXAMPLES: dict[str, dict[str, Any]] = {
    "usual": {
        "summary": "Photos in, callback out",
        "value": {
            "image_urls": [
                "https://photos.example.com/chair/001.jpg",
                "https://photos.example.com/chair/002.jpg",
                "https://photos.example.com/chair/003.jpg",
            ],
            "callback_url": "https://shop.example.com/hooks/reconstruction",
            "metadata": {"order": 4711},
        },
    },
    "uploads": {
        "summary": "Photos that were uploaded",
        "value": {"image_urls": ["upload://5f1c0e6a3b6d4f0d9a37c2f0a2d1b8e4"]},
    },
    "everything": {
        "summary": "All that can be set",
        "value": {
            "image_urls": [
                "https://photos.example.com/chair/001.jpg",
                "https://photos.example.com/chair/002.jpg",
                "https://photos.example.com/chair/003.jpg",
            ],
            "callback_url": "https://shop.example.com/hooks/reconstruction",
            "callback_events": ["job.started", "job.stage_completed"],
            "metadata": {"order": 4711, "tags": ["oak", "garden"]},
            "pipeline": "default",
            "settings": {"FeatureExtraction": {"describerPreset": "high"}},
            "priority": 7,
            "min_registered_share": 0.5,
            "camera": {"field_of_view_degrees": 60, "sensor_width_mm": 6.17},
            "outputs": ["obj", "glb", "usdz", "ply"],
            "expires_in": 2592000,
        },
    },
}
