"""Uploads: photos from a disk instead of an address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from apiflask import APIBlueprint
from flask import request
from pydantic import ValidationError

from meshroom_tasks.errors import Conflict, NotFound, UploadDamaged
from meshroom_tasks.ingest.limits import IngestLimits
from meshroom_tasks.jobs.uploads import Upload, UploadFile
from meshroom_tasks.photo_urls import UploadUrl
from meshroom_tasks.uploads import arrived, missing, remove_upload
from web import multipart
from web.auth import caller
from web.problems import Fault, Refused
from web.receiving import longer_than_announced, receive
from web.schemas import uploads as schemas
from web.schemas.requests import UploadExtension
from web.services import Services, services

blueprint = APIBlueprint("uploads", __name__, url_prefix="/api/v1/uploads", tag="Uploads")


@blueprint.post("")
@blueprint.output(schemas.Upload, status_code=201, description="The files may be sent.", headers=schemas.UploadHeaders)
@blueprint.doc(operation_id="createUpload")
def create_upload() -> tuple[schemas.Upload, int, dict[str, str]]:
    """Send photos from a disk

    As JSON: announce files, and get for each where to send it. Then give `upload://<upload id>`, or
    `upload://<upload id>/<file name>`, among the `image_urls` of a job. As `multipart/form-data`: announce and send
    them in one request; every file is a field of any name, with a file name. A ZIP of photos is a file like others.
    """
    parts = services()
    upload = _received_form(parts) if request.mimetype == multipart.MEDIA_TYPE else _announced(parts)
    return _shown(parts, upload), 201, {"Location": f"/api/v1/uploads/{upload.id}"}


@blueprint.get("/<id:upload_id>")
@blueprint.output(schemas.Upload)
@blueprint.doc(operation_id="getUpload")
def get_upload(upload_id: str) -> schemas.Upload:
    """Which files have arrived, and where to send the others

    Ask again with it when a file broke off: `send` of each missing file is valid until `expires_at`.
    """
    parts = services()
    return _shown(parts, parts.store.upload(upload_id, caller().tenant))


@blueprint.put("/<id:upload_id>/files/<int:number>")
@blueprint.output(schemas.UploadedFile, description="The file has arrived.")
@blueprint.doc(operation_id="putFile")
def put_file(upload_id: str, number: int) -> schemas.UploadedFile:
    """Send one file

    Where `send` of the upload says so. Send it again whenever you do not know whether it arrived.
    """
    parts = services()
    upload = parts.store.upload(upload_id, caller().tenant)
    if number >= len(upload.files):
        raise NotFound("the upload has no file of this number")
    file, length = upload.files[number], request.content_length
    if length is not None and length > file.size:
        raise longer_than_announced(file)
    if length is not None and length < file.size:
        raise UploadDamaged(f"{length:,} bytes are to come, and {file.size:,} were announced; send the whole file")
    with parts.receiving.body(caller().tenant) as body:
        receive(body, parts.storage, upload.key(number), file)
    _still_there(parts, upload, number)
    return _file(upload, number, None)


@blueprint.post("/<id:upload_id>/extend")
@blueprint.input(UploadExtension, arg_name="body", example={"expires_in": 86400})
@blueprint.output(schemas.Upload)
@blueprint.doc(operation_id="extendUpload")
def extend_upload(upload_id: str, body: UploadExtension) -> schemas.Upload:
    """Keep an upload longer

    For so many seconds from now; never shorter than before.
    """
    parts = services()
    keep = timedelta(seconds=body.expires_in)
    return _shown(parts, parts.store.extend_upload(upload_id, caller().tenant, keep))


@blueprint.delete("/<id:upload_id>")
@blueprint.doc(operation_id="deleteUpload", responses={204: "It is gone.", 409: "A job that has not ended needs it."})
def delete_upload(upload_id: str) -> tuple[str, int]:
    """Remove an upload before it expires

    Jobs that have taken their photos keep them.
    """
    parts = services()
    parts.store.upload(upload_id, caller().tenant)
    if not remove_upload(parts.store, parts.storage, upload_id):
        raise Conflict("a job that has not ended needs this upload; cancel it, or wait for its end")
    return "", 204


def _announced(parts: Services) -> Upload:
    try:
        body = schemas.NewUpload.model_validate(request.get_json())
    except ValidationError as error:
        raise Refused.by_schema(error, "body") from error
    faults = _beyond_limits(body, IngestLimits.of(parts.settings))
    if faults:
        raise Refused(422, "request_refused", "the files are more, or larger, than is allowed; see `errors`", faults)
    files = [UploadFile(file.name, file.size, file.sha256, file.content_type) for file in body.files]
    return parts.store.create_upload(caller().tenant, files, _kept(parts))


def _beyond_limits(body: schemas.NewUpload, limits: IngestLimits) -> list[Fault]:
    if len(body.files) > limits.max_images:
        return [Fault("/files", f"an upload has at most {limits.max_images} files")]
    faults = []
    for index, file in enumerate(body.files):
        is_zip = UploadFile(file.name, file.size, None, file.content_type).is_zip
        limit = limits.max_job_bytes if is_zip else limits.max_image_bytes
        if file.size > limit:
            faults.append(Fault(f"/files/{index}/size", f"{file.name} has more than {limit:,} bytes"))
    if sum(file.size for file in body.files) > limits.max_job_bytes:
        faults.append(Fault("/files", f"the files together have more than {limits.max_job_bytes:,} bytes"))
    return faults[:20]


def _received_form(parts: Services) -> Upload:
    limits = IngestLimits.of(parts.settings)
    multipart.check_length(limits)
    upload = parts.store.create_upload(caller().tenant, (), _kept(parts), expected_bytes=request.content_length or 0)
    try:
        with parts.receiving.body(caller().tenant) as body:
            files = multipart.receive_form(body, parts.storage, upload, limits)
        return parts.store.complete_upload(upload, files)
    except BaseException:
        remove_upload(parts.store, parts.storage, upload.id)
        raise


def _kept(parts: Services) -> timedelta:
    return timedelta(seconds=parts.settings.upload_expire_seconds)


def _still_there(parts: Services, upload: Upload, number: int) -> None:
    """Raises NotFound where the upload was removed while its file came; nothing would find the file again."""
    try:
        parts.store.upload(upload.id, upload.tenant)
    except NotFound:
        parts.storage.delete(upload.key(number))
        raise


def _shown(parts: Services, upload: Upload) -> schemas.Upload:
    there = arrived(parts.storage, upload)
    absent = missing(upload, there)
    return schemas.Upload(
        upload_id=upload.id,
        url=str(UploadUrl(upload.id)),
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        complete=not absent,
        missing=[file.name for file in absent],
        files=[
            _file(upload, number, None if number in there else _send(parts, upload, number))
            for number in range(len(upload.files))
        ],
    )


def _file(upload: Upload, number: int, send: schemas.Send | None) -> schemas.UploadedFile:
    file = upload.files[number]
    return schemas.UploadedFile(
        name=file.name,
        size=file.size,
        sha256=file.sha256,
        url=str(UploadUrl(upload.id, file.name)),
        arrived=send is None,
        send=send,
    )


def _send(parts: Services, upload: Upload, number: int) -> schemas.Send:
    left = max(1, int((upload.expires_at - datetime.now(UTC)).total_seconds()))
    form = parts.storage.post_form(upload.key(number), size=upload.files[number].size, seconds=left)
    if form is not None:
        return schemas.Send(method="POST", url=form.url, fields=form.fields)
    address = f"{parts.settings.base_url}/api/v1/uploads/{upload.id}/files/{number}"
    return schemas.Send(method="PUT", url=address, fields={})
