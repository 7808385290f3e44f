"""`multipart/form-data` (RFC 7578), each file written to storage while it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Event, Field, File, MultipartDecoder, NeedData, State

from meshroom_tasks.errors import RequestRefused, UploadDamaged, UploadTooLarge
from meshroom_tasks.ingest.limits import IngestLimits
from meshroom_tasks.jobs.uploads import Upload, UploadFile
from meshroom_tasks.photo_urls import fault_of_name
from meshroom_tasks.storage import Storage
from web.receiving import BLOCK_BYTES, Readable

MEDIA_TYPE = "multipart/form-data"

_BUFFER_BYTES = 1_000_000
_PART_HEAD_BYTES = 2_000


class MalformedMultipart(RequestRefused):
    code = "malformed_multipart"
    http_status = 400


def check_length(limits: IngestLimits) -> None:
    """Raises UploadTooLarge where the form announces more than any may have."""
    length, most = request.content_length or 0, limits.max_job_bytes + _PART_HEAD_BYTES * limits.max_images
    if length > most:
        raise UploadTooLarge(f"the form is larger than is allowed ({most:,} bytes)", max_bytes=most)


def receive_form(body: Readable, storage: Storage, upload: Upload, limits: IngestLimits) -> tuple[UploadFile, ...]:
    """Store every file of the form under the keys of `upload`; returns what they are.

    Raises MalformedMultipart, RequestRefused (names, number), UploadTooLarge, UploadDamaged; what was stored until
    then is left to the caller.
    """
    files: list[UploadFile] = []
    names: set[str] = set()
    left = limits.max_job_bytes
    events = _events(body)
    for event in events:
        if isinstance(event, Field):
            raise RequestRefused(f"the form holds the field {event.name!r}, which is no file")
        if not isinstance(event, File):
            continue
        _check_name(event.filename, names)
        if len(files) == limits.max_images:
            raise RequestRefused(f"an upload has at most {limits.max_images} files", max_images=limits.max_images)
        kind = event.headers.get("Content-Type", "").partition(";")[0].strip()
        named = UploadFile(event.filename, 0, None, kind if kind == "application/zip" else None)
        limit = min(left, limits.max_job_bytes if named.is_zip else limits.max_image_bytes)
        files.append(_store(events, storage, upload.key(len(files)), named, limit))
        names.add(event.filename)
        left -= files[-1].size
    if not files:
        raise RequestRefused("the form holds no files")
    return tuple(files)


def _store(events: Iterator[Event], storage: Storage, key: str, file: UploadFile, limit: int) -> UploadFile:
    digest, size = hashlib.sha256(), 0
    with storage.create(key, media_type=file.content_type) as sink:
        for event in events:
            if not isinstance(event, Data):
                raise MalformedMultipart("the form is malformed: a file has no end")
            size += len(event.data)
            if size > limit:
                raise UploadTooLarge(f"{file.name} is larger than is allowed ({limit:,} bytes)", max_bytes=limit)
            digest.update(event.data)
            sink.write(event.data)
            if not event.more_data:
                break
        if not size:
            raise RequestRefused(f"{file.name} is empty")
    return UploadFile(file.name, size, digest.hexdigest(), file.content_type)


def _events(body: Readable) -> Iterator[Event]:
    decoder = MultipartDecoder(_boundary(), max_form_memory_size=_BUFFER_BYTES)
    try:
        while data := body.read(BLOCK_BYTES):
            decoder.receive_data(data)
            while not isinstance(event := decoder.next_event(), NeedData):
                yield event
    except (ValueError, RequestEntityTooLarge) as error:
        raise MalformedMultipart("the form is malformed") from error
    if decoder.state is not State.EPILOGUE:
        raise UploadDamaged("the form was cut short on its way; send it again")


def _boundary() -> bytes:
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary or not boundary.isascii():
        raise MalformedMultipart("the header Content-Type names no boundary")
    return boundary.encode()


def _check_name(name: str, names: set[str]) -> None:
    if fault := fault_of_name(name):
        raise RequestRefused(fault)
    if name in names:
        raise RequestRefused(f"two files have the name {name}")
