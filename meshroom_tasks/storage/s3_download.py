"""Reading one object from S3 as a stream, with the next parts fetched side by side ahead of the reader."""

from __future__ import annotations

import io
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from meshroom_tasks.errors import StorageUnavailable
from meshroom_tasks.storage.s3_calls import CONNECTIONS, S3Calls, is_refused_condition, status_of

PART_BYTES = 8 << 20
FIRST_BYTES = 1 << 20
"""Little, since the parts behind it wait for what its answer tells: the object's size and version."""

_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


@dataclass(frozen=True)
class Part:
    """`data` from a place in an object of `total` bytes and this `etag`."""

    data: bytes
    total: int
    etag: str


class Download(io.RawIOBase):
    """Bytes `start` to `start + length` (None: to the end) of the object, as it was when the stream was opened.

    A part is verified to be whole and fetched again where it was not; so a server that is away for a while costs
    time only. `StorageUnavailable` when the object was replaced meanwhile. At most `CONNECTIONS` parts and the one
    being read are in memory.
    """

    def __init__(self, calls: S3Calls, key: str, start: int, length: int | None) -> None:
        super().__init__()
        self._calls = calls
        self._key = key
        first = fetch(calls, key, start, FIRST_BYTES if length is None else min(FIRST_BYTES, length))
        self._etag = first.etag
        self._end = first.total if length is None else min(first.total, start + length)
        self._next = start + len(first.data)
        self._current = memoryview(first.data)
        self._ahead: deque[Future[Part]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._current and self._ahead:
            self._current = memoryview(self._ahead.popleft().result().data)
        self._fetch_ahead()
        count = min(len(buffer), len(self._current))
        buffer[:count] = self._current[:count]
        self._current = self._current[count:]
        return count

    def close(self) -> None:
        if not self.closed and self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _fetch_ahead(self) -> None:
        """Have the parts behind the current one fetched meanwhile."""
        if self._next < self._end and self._pool is None:
            self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="s3-download")
        while self._pool is not None and self._next < self._end and len(self._ahead) < CONNECTIONS:
            size = min(PART_BYTES, self._end - self._next)
            self._ahead.append(self._pool.submit(fetch, self._calls, self._key, self._next, size, self._etag))
            self._next += size


def read_body(answer: dict[str, Any]) -> bytes:
    """All of it, verified: `with` on the body itself would give the bare connection, which verifies nothing."""
    with closing(answer["Body"]) as body:
        return bytes(body.read())


def fetch(calls: S3Calls, key: str, start: int, length: int, etag: str = "") -> Part:
    """At most `length` bytes from `start`: fewer, or none, at the object's end. `ObjectMissing`, `StorageUnavailable`.

    With `etag` only of that version of the object.
    """
    if length == 0:
        found = calls("head_object", key=key, Key=key)
        return Part(b"", int(found["ContentLength"]), str(found["ETag"]))
    wanted = {"Range": f"bytes={start}-{start + length - 1}", **({"IfMatch": etag} if etag else {})}

    def attempt() -> Part:
        try:
            answer = calls.once("get_object", Key=key, **wanted)
        except ClientError as error:
            if status_of(error) == 416:
                return Part(b"", 0, "")
            if etag and is_refused_condition(error):
                raise StorageUnavailable("an object was replaced while it was read: try again", key=key) from error
            raise
        data = read_body(answer)
        total = _TOTAL.fullmatch(str(answer.get("ContentRange", "")))
        return Part(data, int(total[1]) if total else len(data), str(answer["ETag"]))

    return calls.patiently(attempt, key=key)
