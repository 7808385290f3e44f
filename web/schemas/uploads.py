"""Uploads: files that are announced, sent, and then named by `image_urls`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from meshroom_tasks.photo_urls import MAX_NAME_CHARACTERS, fault_of_name
from web.schemas.requests import Body
from web.schemas.responses import Answer

_ID = "5f1c0e6a3b6d4f0d9a37c2f0a2d1b8e4"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class AnnouncedFile(Body):
    name: str = Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        description="What you call it, perhaps with folders: `chair/001.jpg`. A name that ends in `.zip` is a ZIP of "
        "photos, which is unpacked when a job takes it.",
        examples=["001.jpg"],
    )
    size: int = Field(ge=1, description="In bytes; no more and no fewer are taken.", examples=[4_812_345])
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="In hex. With it, what arrives otherwise is refused."
    )
    content_type: str | None = Field(
        None,
        max_length=100,
        pattern=r"^[\w.+-]+/[\w.+-]+$",
        description="`application/zip` makes it a ZIP whatever its name. Otherwise the bytes say what it is.",
        examples=["image/jpeg"],
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if fault := fault_of_name(value):
            raise ValueError(fault)
        return value


class NewUpload(Body):
    files: list[AnnouncedFile] = Field(min_length=1, description="All files of the upload, each under its own name.")

    @model_validator(mode="after")
    def _different_names(self) -> NewUpload:
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("two files have the same name")
        return self


class Send(Answer):
    """With `POST`, a form of `fields` and then the field `file`, without a key; with `PUT`, the bytes and your key."""

    method: Literal["POST", "PUT"]
    url: str
    fields: dict[str, str] = Field(description="Secrets; empty with `PUT`.")


class UploadedFile(Answer):
    name: str = Field(examples=["001.jpg"])
    size: int
    sha256: str | None
    url: str = Field(description="For `image_urls`.", examples=[f"upload://{_ID}/001.jpg"])
    arrived: bool
    send: Send | None = Field(description="Where to send it; null when it has arrived.")


class Upload(Answer):
    upload_id: str = Field(examples=[_ID])
    url: str = Field(description="All of its files, for `image_urls`.", examples=[f"upload://{_ID}"])
    created_at: datetime
    expires_at: datetime = Field(description="Until then files are taken, and jobs may name it.")
    complete: bool = Field(description="Every file has arrived.")
    missing: list[str] = Field(description="Names of the files that have not.", examples=[["001.jpg"]])
    files: list[UploadedFile]


class UploadHeaders(BaseModel):
    location: str = Field(description="The address of the upload.", examples=[f"/api/v1/uploads/{_ID}"])


NEW_UPLOAD_EXAMPLES: dict[str, dict[str, Any]] = {
    "photos": {
        "summary": "Photos",
        "value": {
            "files": [
                {"name": "001.jpg", "size": 4_812_345, "sha256": _SHA256},
                {"name": "002.jpg", "size": 4_799_001},
                {"name": "003.jpg", "size": 4_910_777, "content_type": "image/jpeg"},
            ]
        },
    },
    "zip": {
        "summary": "A folder of photos in one ZIP",
        "value": {"files": [{"name": "chair.zip", "size": 612_000_000}]},
    },
}
