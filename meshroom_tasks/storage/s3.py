"""Objects in a bucket of an S3 server: AWS, SeaweedFS, MinIO and others that know conditional writes.

Every upload carries CRC-32 checksums that the server verifies; an object appears with the request that completes it.
What reads large objects verifies a digest of its own (bundles, photos); small ones are verified against the
server's checksum where it keeps one.
"""

from __future__ import annotations

import errno
import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from meshroom_tasks.errors import DiskFull, ObjectMissing, StorageUnavailable
from meshroom_tasks.settings import Settings
from meshroom_tasks.storage.base import ObjectInfo, PostForm, Progress, Sink, is_key
from meshroom_tasks.storage.identities import PROBE
from meshroom_tasks.storage.s3_calls import S3Calls, code_of, translated
from meshroom_tasks.storage.s3_download import Download, read_body
from meshroom_tasks.storage.s3_upload import Upload

_BLOCK = 1 << 20
_BATCH = 1000
_PROBE_PATIENCE = 0.0
_NO_BUCKET = ("404", "NoSuchBucket")
_NOT_TO_BE_SEEN = ("403", "AccessDenied")
"""Said of a bucket that is there, to somebody who may use some of it."""
_OURS_ALREADY = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
_OPEN_TO_ANY_PAGE = {  # What it may do there is said by the address, or form, that it was given.
    "CORSRules": [{"AllowedMethods": ["GET", "HEAD", "POST"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"]}]
}


class S3Storage:
    """`Storage` below `prefix` in `bucket`, which is made when first written to and missing."""

    def __init__(self, settings: Settings, bucket: str, prefix: str = "", *, patience: float = 40.0) -> None:
        """`patience`: for how many seconds a request is repeated while the server cannot be reached or is busy."""
        self.bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._calls = S3Calls(settings, bucket, patience=patience)
        self._probes = S3Calls(settings, bucket, patience=_PROBE_PATIENCE)
        public = settings.aws_public_endpoint_url or settings.aws_endpoint_url
        self._signs = settings.aws_presigned_urls
        self._public = S3Calls(settings, bucket, patience=patience, endpoint=public)
        self._region = settings.aws_region
        self._bucket_is_there = False

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        if_absent: bool = False,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        with path.open("rb") as source:
            return self._put(key, source, if_absent=if_absent, media_type=media_type, progress=progress)

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False, media_type: str | None = None) -> bool:
        return self._put(key, io.BytesIO(data), if_absent=if_absent, media_type=media_type, progress=None)

    @contextmanager
    def create(self, key: str, *, media_type: str | None = None) -> Iterator[Sink]:
        upload = self._upload(key, media_type=media_type)
        with _abandoned_on_error(upload):
            yield upload
            upload.finish()

    def get_bytes(self, key: str) -> bytes:
        name = self._existing(key)

        def read() -> bytes:
            return read_body(self._calls.once("get_object", Key=name, ChecksumMode="ENABLED"))

        return self._calls.patiently(read, key=name)

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            with self.open(key) as source, _local_disk(), part.open("xb") as target:
                while data := source.read(_BLOCK):
                    target.write(data)
                    if progress is not None:
                        progress(len(data))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("a range has no negative start or length")
        return io.BufferedReader(Download(self._calls, self._existing(key), start, length), _BLOCK)

    def stat(self, key: str) -> ObjectInfo | None:
        if not is_key(key):
            return None
        name = self._prefix + key
        try:
            found = self._calls("head_object", key=name, Key=name)
        except ObjectMissing:
            return None
        return ObjectInfo(int(found["ContentLength"]), found["LastModified"].astimezone(UTC))

    def list(self, prefix: str = "") -> Iterator[str]:
        for key, _ in self.sizes(prefix):
            yield key

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        prefix = prefix.strip("/")
        if prefix and not is_key(prefix):
            raise _no_key(prefix)
        for found in self._pages("list_objects_v2", "Contents", f"{self._prefix}{prefix}/" if prefix else self._prefix):
            key = str(found["Key"]).removeprefix(self._prefix)
            if is_key(key):
                yield key, int(found["Size"])

    def delete(self, key: str) -> None:
        if is_key(key):
            with suppress(ObjectMissing):
                self._calls("delete_object", key=key, Key=self._prefix + key)

    def delete_prefix(self, prefix: str) -> None:
        if not prefix.strip("/"):
            raise ValueError("an empty prefix would delete everything")
        objects = [{"Key": self._prefix + key} for key in self.list(prefix)]
        for first in range(0, len(objects), _BATCH):
            answer = self._calls("delete_objects", Delete={"Objects": objects[first : first + _BATCH], "Quiet": True})
            if errors := answer.get("Errors"):
                cause = str(errors[0].get("Code"))
                raise StorageUnavailable(
                    f"the object store did not delete all objects ({cause}): check that it allows deletes in bucket "
                    f"{self.bucket!r}",
                    cause=cause,
                )

    def url(
        self, key: str, *, seconds: int, media_type: str | None = None, disposition: str | None = None
    ) -> str | None:
        if not self._signs:
            return None
        wanted = {"ResponseContentType": media_type, "ResponseContentDisposition": disposition}
        parameters = {name: value for name, value in wanted.items() if value is not None}
        try:
            address: str = self._public.client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.bucket, "Key": self._prefix + key, **parameters},
                ExpiresIn=seconds,
            )
        except BotoCoreError as error:
            raise translated(error, self.bucket) from error
        return address

    def post_form(self, key: str, *, size: int, seconds: int) -> PostForm | None:
        if not self._signs:
            return None
        if not is_key(key):
            raise _no_key(key)
        self._require_bucket()
        try:
            form = self._public.client.generate_presigned_post(
                self.bucket,
                self._prefix + key,
                Conditions=[["content-length-range", size, size]],
                ExpiresIn=seconds,
            )
        except BotoCoreError as error:
            raise translated(error, self.bucket) from error
        return PostForm(form["url"], form["fields"])

    def check(self) -> None:
        """Write and delete an object that `list` does not show, without patience."""
        probe = Upload(self._probes, self._prefix + PROBE, self._make_bucket)
        probe.write(b"ok")
        probe.finish()
        self._probes("delete_object", Key=self._prefix + PROBE)

    def remove_abandoned(self, *, older_than_seconds: float) -> int:
        removed = 0
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        for found in tuple(self._pages("list_multipart_uploads", "Uploads", self._prefix)):
            if found["Initiated"] <= before:
                with suppress(ObjectMissing):
                    name = str(found["Key"])
                    self._calls("abort_multipart_upload", key=name, Key=name, UploadId=found["UploadId"])
                    removed += 1
        return removed

    def _put(
        self, key: str, source: BinaryIO, *, if_absent: bool, media_type: str | None, progress: Progress | None
    ) -> bool:
        upload = self._upload(key, if_absent=if_absent, media_type=media_type, progress=progress)
        with _abandoned_on_error(upload):
            while data := source.read(_BLOCK):
                upload.write(data)
            stored = upload.finish()
            if not stored:
                upload.abandon()
        return stored

    def _upload(self, key: str, **options: Any) -> Upload:
        if not is_key(key):
            raise _no_key(key)
        return Upload(self._calls, self._prefix + key, self._make_bucket, **options)

    def _existing(self, key: str) -> str:
        if not is_key(key):
            raise ObjectMissing(f"there is no object {key!r} in storage", key=key)
        return self._prefix + key

    def _pages(self, operation: str, field: str, prefix: str) -> Iterator[dict[str, Any]]:
        """What all pages of a listing hold; nothing where there is no bucket."""
        following: dict[str, Any] = {}
        while True:
            try:
                page = self._calls(operation, Prefix=prefix, **following)
            except StorageUnavailable as error:
                if error.context.get("cause") == "NoSuchBucket":
                    return
                raise
            yield from page.get(field, ())
            if not page.get("IsTruncated"):
                return
            following = _following(page)

    def _require_bucket(self) -> None:
        """For those who write without us."""
        if self._bucket_is_there:
            return
        try:
            self._calls("head_bucket")
        except StorageUnavailable as error:
            cause = error.context.get("cause")
            if cause not in (*_NO_BUCKET, *_NOT_TO_BE_SEEN):
                raise
            if cause in _NO_BUCKET:
                self._make_bucket()
        self._bucket_is_there = True

    def _make_bucket(self) -> None:
        place = {"CreateBucketConfiguration": {"LocationConstraint": self._region}} if self._is_elsewhere() else {}
        try:
            self._calls.once("create_bucket", **place)
        except ClientError as error:
            if code_of(error) in _OURS_ALREADY:
                return
            raise StorageUnavailable(
                f"the bucket {self.bucket!r} does not exist and may not be created with these credentials "
                f"({code_of(error)}): create it, or check STORAGE_URL",
                bucket=self.bucket,
                cause=code_of(error),
            ) from error
        except BotoCoreError as error:
            raise translated(error, self.bucket) from error
        with suppress(ClientError, BotoCoreError):  # Not every server knows it; some allow all pages anyhow.
            self._calls.once("put_bucket_cors", CORSConfiguration=_OPEN_TO_ANY_PAGE)

    def _is_elsewhere(self) -> bool:
        return self._region not in ("", "us-east-1")


def _following(page: dict[str, Any]) -> dict[str, Any]:
    if "NextContinuationToken" in page:
        return {"ContinuationToken": page["NextContinuationToken"]}
    return {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _no_key(key: str) -> ValueError:
    return ValueError(f"{key!r} is not an object key")


@contextmanager
def _abandoned_on_error(upload: Upload) -> Iterator[None]:
    try:
        yield
    except BaseException:
        upload.abandon()
        raise


@contextmanager
def _local_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the disk that an object is fetched to is full: free space or enlarge it") from error
        raise
