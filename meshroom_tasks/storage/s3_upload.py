"""Writing one object to S3 as a stream of unknown length, in parts that travel side by side."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from meshroom_tasks.errors import ObjectMissing, StorageUnavailable
from meshroom_tasks.storage.base import Progress
from meshroom_tasks.storage.s3_calls import CONNECTIONS, S3Calls, code_of, is_refused_condition

PART_BYTES = 8 << 20
_PARTS_OF_ONE_SIZE = 2000
_WRITER = "writer"

T = TypeVar("T")
MakeBucket = Callable[[], None]


def part_bytes(number: int) -> int:
    """Size of part `number` (from 1): doubled now and then, so that 10,000 parts (S3's limit) hold about 480 GB."""
    return PART_BYTES << ((number - 1) // _PARTS_OF_ONE_SIZE)


class Upload:
    """The object is there after `finish`, whole, and never otherwise; what does not end in it must be `abandon`ed.

    At most `CONNECTIONS` parts and the one being filled are in memory. Each request carries a CRC-32 of its bytes,
    which the server verifies. `progress` hears in the writer's thread of what the server has taken.
    """

    def __init__(
        self,
        calls: S3Calls,
        key: str,
        make_bucket: MakeBucket,
        *,
        if_absent: bool = False,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._calls = calls
        self._key = key
        self._make_bucket = make_bucket
        self._condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        self._token = uuid.uuid4().hex
        self._headers: dict[str, Any] = {
            "Metadata": {_WRITER: self._token},
            "ContentType": media_type or "application/octet-stream",
        }
        self._progress = progress
        self._buffer = bytearray()
        self._upload_id = ""
        self._pool: ThreadPoolExecutor | None = None
        self._moving: deque[Future[dict[str, Any]]] = deque()
        self._sizes: deque[int] = deque()
        self._parts: list[dict[str, Any]] = []
        self._number = 1

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        while view:
            room = part_bytes(self._number) - len(self._buffer)
            if not room:
                self._send_part()
                continue
            self._buffer += view[:room]
            view = view[room:]
        return len(data)

    def flush(self) -> None:
        """Nothing: parts go out when they are full."""

    def finish(self) -> bool:
        """Make the object appear; False when another's was there and it should not be replaced."""
        if not self._upload_id:
            return self._put_whole()
        if self._buffer:
            self._send_part()
        while self._moving:
            self._reap()
        self._end_pool()
        return self._decide(
            lambda: self._calls.once(
                "complete_multipart_upload",
                Key=self._key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
                **self._condition,
            )
        )

    def abandon(self) -> None:
        """Drop what was sent. What cannot be dropped now is left to `remove_abandoned`."""
        for future in self._moving:
            future.cancel()
        wait(self._moving)
        self._end_pool()
        if self._upload_id:
            with suppress(ClientError, BotoCoreError):
                self._calls.once("abort_multipart_upload", Key=self._key, UploadId=self._upload_id)

    def _put_whole(self) -> bool:
        data = bytes(self._buffer)

        def put() -> Any:
            return self._calls.once(
                "put_object", Key=self._key, Body=data, ChecksumAlgorithm="CRC32", **self._headers, **self._condition
            )

        stored = self._with_bucket(lambda: self._decide(put))
        if self._progress is not None and data:
            self._progress(len(data))
        return stored

    def _send_part(self) -> None:
        if self._pool is None:
            self._upload_id = self._with_bucket(self._begin)
            self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="s3-upload")
        while len(self._moving) >= CONNECTIONS:
            self._reap()
        data, self._buffer = bytes(self._buffer), bytearray()
        self._moving.append(self._pool.submit(self._upload_part, self._number, data))
        self._sizes.append(len(data))
        self._number += 1

    def _begin(self) -> str:
        answer = self._calls("create_multipart_upload", Key=self._key, ChecksumAlgorithm="CRC32", **self._headers)
        return str(answer["UploadId"])

    def _upload_part(self, number: int, data: bytes) -> dict[str, Any]:
        answer = self._calls(
            "upload_part",
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=data,
            ChecksumAlgorithm="CRC32",
        )
        checksum = {name: answer[name] for name in ("ChecksumCRC32",) if answer.get(name)}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksum}

    def _reap(self) -> None:
        self._parts.append(self._moving[0].result())
        self._moving.popleft()
        size = self._sizes.popleft()
        if self._progress is not None:
            self._progress(size)

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def _with_bucket(self, request: Callable[[], T]) -> T:
        """Do the request; where the bucket is missing, make it and do the request again."""
        try:
            return request()
        except StorageUnavailable as error:
            if error.context.get("cause") != "NoSuchBucket":
                raise
        self._make_bucket()
        return request()

    def _decide(self, write: Callable[[], Any]) -> bool:
        """Write; where an earlier attempt's answer was lost, ask the object whose it is."""
        attempts = 0

        def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                write()
            except ClientError as error:
                doubtful = is_refused_condition(error) or code_of(error) == "NoSuchUpload"
                if attempts > 1 and doubtful and self._is_ours():
                    return True
                if is_refused_condition(error):
                    return False
                raise
            return True

        return self._calls.patiently(attempt)

    def _is_ours(self) -> bool:
        try:
            found = self._calls("head_object", key=self._key, Key=self._key)
        except ObjectMissing:
            return False
        return bool(found.get("Metadata", {}).get(_WRITER) == self._token)
