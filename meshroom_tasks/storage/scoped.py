"""A storage whose holder may write and remove below some prefixes only, whatever the store itself would allow."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from meshroom_tasks.storage.base import ObjectInfo, PostForm, Progress, Sink, Storage


class NotItsOwn(Exception):
    """A bug, or somebody who has taken over the process: what it tried is none of its tasks."""


class ScopedStorage:
    """`storage` for somebody who writes below the prefixes `writes`, and removes there and below `removes`."""

    def __init__(self, storage: Storage, writes: Collection[str], removes: Collection[str]) -> None:
        self._storage = storage
        self._writes = frozenset(writes)
        self._removes = frozenset(removes) | self._writes

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        if_absent: bool = False,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        _check(key, self._writes)
        return self._storage.put_file(key, path, if_absent=if_absent, media_type=media_type, progress=progress)

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False, media_type: str | None = None) -> bool:
        _check(key, self._writes)
        return self._storage.put_bytes(key, data, if_absent=if_absent, media_type=media_type)

    def create(self, key: str, *, media_type: str | None = None) -> AbstractContextManager[Sink]:
        _check(key, self._writes)
        return self._storage.create(key, media_type=media_type)

    def post_form(self, key: str, *, size: int, seconds: int) -> PostForm | None:
        _check(key, self._writes)
        return self._storage.post_form(key, size=size, seconds=seconds)

    def delete(self, key: str) -> None:
        _check(key, self._removes)
        self._storage.delete(key)

    def delete_prefix(self, prefix: str) -> None:
        _check(prefix, self._removes)
        self._storage.delete_prefix(prefix)

    def remove_abandoned(self, *, older_than_seconds: float) -> int:
        raise NotItsOwn("what other writers left is none of this process's")

    def get_bytes(self, key: str) -> bytes:
        return self._storage.get_bytes(key)

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        self._storage.get_file(key, path, progress=progress)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return self._storage.open(key, start, length)

    def stat(self, key: str) -> ObjectInfo | None:
        return self._storage.stat(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return self._storage.list(prefix)

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        return self._storage.sizes(prefix)

    def url(
        self, key: str, *, seconds: int, media_type: str | None = None, disposition: str | None = None
    ) -> str | None:
        return self._storage.url(key, seconds=seconds, media_type=media_type, disposition=disposition)

    def check(self) -> None:
        self._storage.check()


def _check(key: str, allowed: frozenset[str]) -> None:
    top, _, rest = key.partition("/")
    if top not in allowed or not rest.strip("/"):
        raise NotItsOwn(f"this process may not change {key!r}: it may below {', '.join(sorted(allowed))}")
