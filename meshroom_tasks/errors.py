"""Every failure that a client can see: a stable code, one sentence that says what to do, and how it is retried.

A failure is a subclass of `ServiceError`. Its `code` is part of the API and never changes its meaning; its message
is written for whoever has to act on it; `context` carries the facts (index, stage, limits) as JSON values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

from meshroom_tasks.retry_policies import NEVER, ON_ANOTHER_MACHINE, ONCE_MORE, PATIENTLY, Retry


class ServiceError(Exception):
    """Base of all failures with a code.

    `log_tail` holds the last lines of the engine's log where there is one.
    """

    code: ClassVar[str] = "internal_error"
    retry: Retry = ONCE_MORE
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, log_tail: tuple[str, ...] = (), **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.log_tail = log_tail
        self.context = context


# What a request can get wrong (4xx at submission).


class RequestRefused(ServiceError):
    code = "request_refused"
    retry = NEVER
    http_status = 422


class PipelineUnknown(RequestRefused):
    code = "pipeline_unknown"


class SettingInvalid(RequestRefused):
    """An unknown node, an unknown attribute, or a value that the engine does not take."""

    code = "setting_invalid"


class GraphInvalid(ServiceError):
    """A pipeline's template or a planned graph that cannot be read: whoever runs the service has to mend it."""

    code = "graph_invalid"
    retry = NEVER


class IdempotencyKeyReused(RequestRefused):
    """The key belongs to an earlier request that asked for something else."""

    code = "idempotency_key_reused"


class TooManyImages(RequestRefused):
    """More photos than the tenant's jobs may have."""

    code = "images_limit"


class StorageLimit(RequestRefused):
    """The tenant's photos and results take all the room that it may have."""

    code = "storage_limit"


class UrlInvalid(RequestRefused):
    """A URL that cannot be used whatever it names: malformed, too long, with user info."""

    code = "url_invalid"


class AddressNotAllowed(RequestRefused):
    """One message for every blocked address: the service is no port scanner."""

    code = "address_not_allowed"

    def __init__(self, message: str = "address not allowed", **context: Any) -> None:
        super().__init__(message, **context)


class UploadUnknown(RequestRefused):
    """There is no such upload, or no such file in it, or not any more."""

    code = "upload_unknown"


class UploadIncomplete(RequestRefused):
    """Files of an upload have not arrived."""

    code = "upload_incomplete"


class UploadDamaged(RequestRefused):
    """What arrived is not what was declared: bytes are missing, or the digest is another one."""

    code = "upload_damaged"


class UploadTooLarge(RequestRefused):
    code = "upload_too_large"
    http_status = 413


class NotFound(ServiceError):
    code = "not_found"
    retry = NEVER
    http_status = 404


class Conflict(ServiceError):
    """The job is in a state in which this cannot be done."""

    code = "conflict"
    retry = NEVER
    http_status = 409


class TooManyRequests(ServiceError):
    """`retry_after`: whole seconds, after which it may succeed."""

    code = "too_many_requests"
    retry = NEVER
    http_status = 429

    def __init__(self, message: str, *, retry_after: int, **context: Any) -> None:
        super().__init__(message, retry_after=retry_after, **context)
        self.retry_after = retry_after


class QueuedJobsLimit(TooManyRequests):
    """As many of the tenant's jobs are queued as may be."""

    code = "queued_jobs_limit"


# What photos can get wrong.


class PhotoError(ServiceError):
    code = "image_invalid"
    retry = NEVER
    http_status = 422


class PhotosBeingRemoved(ServiceError):
    """Of the photos that a job is about to share, the last earlier job is just being deleted."""

    code = "photos_being_removed"
    retry = Retry(attempts=5, delays=(5.0, 30.0, 120.0, 600.0))


class ImageUnreachable(PhotoError):
    code = "image_unreachable"


class ImageTooLarge(PhotoError):
    code = "image_too_large"


class JobTooLarge(PhotoError):
    """The photos together exceed what one job may have."""

    code = "job_too_large"


class ImageTypeUnsupported(PhotoError):
    code = "image_type_unsupported"


class TooFewImages(PhotoError):
    code = "too_few_images"


class ZipInvalid(PhotoError):
    """A ZIP of photos that is damaged, or made in a way that is not read here."""

    code = "zip_invalid"


class ZipUnsafe(PhotoError):
    """It holds what no folder of photos does: links, other archives, names that lead elsewhere."""

    code = "zip_unsafe"


class ZipBomb(PhotoError):
    """It is made to fill a disk or memory: far larger unpacked than packed, or with parts that overlap."""

    code = "zip_bomb"


# What the engine can report.


class EngineError(ServiceError):
    """A stage failed; the client can do nothing about it, or nobody knows better."""

    code = "engine_failed"
    retry = ONCE_MORE


@contextmanager
def tried(attempts: int) -> Iterator[None]:
    """Have a stage tried so often in all when its engine fails inside, and nothing better is known of the failure.

    What the client, the machine or the hand-off is to blame for keeps its own policy.
    """
    try:
        yield
    except EngineError as error:
        if error.retry == ONCE_MORE:
            error.retry = replace(ONCE_MORE, attempts=attempts)
        raise


class EngineNotFound(EngineError):
    code = "engine_not_found"
    retry = ON_ANOTHER_MACHINE


class EngineMismatch(EngineError):
    """The worker runs another engine, or another version of it, than the job was planned with."""

    code = "engine_mismatch"
    retry = ON_ANOTHER_MACHINE


class EngineKilled(EngineError):
    """The process was killed from outside: by somebody, or for lack of memory without a trace of it."""

    code = "engine_killed"
    retry = replace(ONCE_MORE, elsewhere="machine")


class MemoryExhausted(EngineError):
    """The stage ran out of memory: it says so, or the kernel killed it for that."""

    code = "memory_exhausted"
    retry = NEVER


class EngineCrashed(EngineError):
    code = "engine_crashed"


class EngineTimeout(EngineError):
    code = "engine_timeout"
    retry = NEVER


class GpuMissing(EngineError):
    code = "gpu_missing"
    retry = PATIENTLY


class VocabularyTreeMissing(EngineError):
    """Image matching of a large set looks up similar photos in a trained file that this machine has not got."""

    code = "vocabulary_tree_missing"
    retry = ON_ANOTHER_MACHINE


class GpuMemory(EngineError):
    code = "gpu_memory_exhausted"
    retry = NEVER


class PhotosWithoutOverlap(EngineError):
    code = "photos_do_not_overlap"
    retry = NEVER


class PhotosWithoutCalibration(EngineError):
    code = "photos_without_calibration"
    retry = NEVER


class TooFewCameras(EngineError):
    code = "too_few_cameras_registered"
    retry = NEVER


class NoSurface(EngineError):
    code = "no_surface"
    retry = NEVER


class HandoffIncomplete(EngineError):
    """An input file of the stage was not in the workspace: our bug or a damaged disk, never the client's doing."""

    code = "handoff_incomplete"
    retry = Retry(attempts=3, delays=(1.0, 10.0), elsewhere="worker")


# What the service's own parts can do.


class ConversionFailed(ServiceError):
    """The library that writes a result's file format did not take the model; the stages' results are untouched."""

    code = "conversion_failed"
    retry = ONCE_MORE


class StorageUnavailable(ServiceError):
    code = "storage_unavailable"
    retry = PATIENTLY
    http_status = 503


class DatabaseUnavailable(ServiceError):
    code = "database_unavailable"
    retry = PATIENTLY
    http_status = 503


class SchemaOutdated(DatabaseUnavailable):
    code = "database_schema_outdated"


class BrokerUnavailable(ServiceError):
    code = "broker_unavailable"
    http_status = 503


class ObjectMissing(ServiceError):
    code = "object_missing"
    retry = PATIENTLY
    http_status = 404


class BundleCorrupt(ServiceError):
    """A bundle's bytes are not those whose digest was recorded."""

    code = "bundle_corrupt"
    retry = PATIENTLY


class StoredResultLost(ServiceError):
    """What earlier steps of the job have stored is gone or damaged: they run again by themselves, and all that follows.

    `bundle_keys` names what was lost. It counts as a failure of the step that finds it
    only when the same result is lost again and again, or when it is none that the job names yet.
    """

    code = "stored_result_lost"
    retry = ONCE_MORE

    def __init__(self, message: str, *, bundle_keys: tuple[str, ...], **context: Any) -> None:
        super().__init__(message, bundle_keys=list(bundle_keys), **context)
        self.bundle_keys = bundle_keys


class DiskFull(ServiceError):
    code = "disk_full"
    retry = ON_ANOTHER_MACHINE


class WorkerLost(ServiceError):
    """The worker that held a step stopped answering; the step has been given to another."""

    code = "worker_lost"
    retry = PATIENTLY
