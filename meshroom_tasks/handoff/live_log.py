"""A step's log while it is being written: kept in the object store, so that it can be read wherever the worker is."""

from __future__ import annotations

import threading
import time

from meshroom_tasks.errors import ObjectMissing, ServiceError
from meshroom_tasks.handoff.stage_logs import LONGEST_MARK, cut_mark, cut_of, log_key
from meshroom_tasks.logs import logger
from meshroom_tasks.storage import Storage

log = logger(__name__)

_LONGEST = 4 << 20
_FLUSH_SECONDS = 3.0


class LiveLog:
    """Appends to `jobs/<job id>/logs/<stage>/<chunk>.log`; earlier attempts stay above. Only the last 4 MiB are kept.

    A log that cannot be stored must not stop a stage: a failure to store it is only logged.
    """

    def __init__(self, storage: Storage, job_id: str, stage: str, chunk: int) -> None:
        self._storage = storage
        self._key = log_key(job_id, stage, chunk)
        earlier = self._earlier()
        self._cut, mark = cut_of(earlier[:LONGEST_MARK])
        self._content = bytearray(earlier[mark:])
        self._changed = False
        self._stored_at = time.monotonic()
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        with self._lock:
            self._content += line.encode(errors="replace") + b"\n"
            if len(self._content) > _LONGEST:
                out = self._content.find(b"\n", len(self._content) - _LONGEST // 2) + 1
                del self._content[:out]
                self._cut += out
            self._changed = True

    def flush(self) -> None:
        """Store what was written, at most every few seconds."""
        if time.monotonic() - self._stored_at >= _FLUSH_SECONDS:
            self._store()

    def close(self) -> None:
        self._store()

    def _store(self) -> None:
        with self._lock:
            if not self._changed:
                return
            content, self._changed = cut_mark(self._cut) + bytes(self._content), False
        self._stored_at = time.monotonic()
        try:
            self._storage.put_bytes(self._key, content, media_type="text/plain; charset=utf-8")
        except ServiceError as error:
            log.warning("a stage's log could not be stored", key=self._key, code=error.code)
            self._changed = True

    def _earlier(self) -> bytes:
        try:
            return self._storage.get_bytes(self._key)
        except ObjectMissing:
            return b""
        except ServiceError as error:
            log.warning("a stage's earlier log could not be read", key=self._key, code=error.code)
            return b""
