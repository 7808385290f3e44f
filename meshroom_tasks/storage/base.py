"""The object store as the service sees it: immutable-looking objects under slash-separated keys.

Two rules make it safe without locks: an object appears whole or not at all, and of several writers with `if_absent`
exactly one wins. Keys are relative (`results/<job id>/model.glb`); a prefix names whole parts (`results/<job id>`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

Progress = Callable[[int], None]
"""Called with the number of bytes that moved since the last call."""

_PART = re.compile(r"[A-Za-z0-9_@+=,~-][A-Za-z0-9_@+=,~.-]{0,199}")


@dataclass(frozen=True)
class ObjectInfo:
    """`size` in bytes; `modified` is an aware UTC datetime."""

    size: int
    modified: datetime


@dataclass(frozen=True)
class PostForm:
    """Where a browser, or anybody, may send one file: a POST of `fields` and then the `file`. `fields` are secrets."""

    url: str
    fields: dict[str, str]


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...


class Storage(Protocol):
    """Errors of every method: `StorageUnavailable`, `DiskFull`; of those that read also `ObjectMissing`.

    A key that `is_key` refuses is a `ValueError` when written and simply missing when read.
    """

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        if_absent: bool = False,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Store a file's content. False: `if_absent` was asked for and the object was there already."""
        ...

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False, media_type: str | None = None) -> bool:
        """Like `put_file` for content in memory."""
        ...

    def create(self, key: str, *, media_type: str | None = None) -> AbstractContextManager[Sink]:
        """A sink for an object's content of any length, which is never wholly in memory or on the caller's disk.

        The object is stored when the block ends; nothing is stored when it ends in an error.
        """
        ...

    def get_bytes(self, key: str) -> bytes: ...

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        """Write the object to `path`, which appears only when it is complete."""
        ...

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """A stream of `length` bytes (None: all) from byte `start`, which the caller closes; shorter at the end."""
        ...

    def stat(self, key: str) -> ObjectInfo | None:
        """None where there is no such object."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys below `prefix`, in order."""
        ...

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """The keys below `prefix`, in order, each with its object's size in bytes."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, which must not be empty."""
        ...

    def url(
        self, key: str, *, seconds: int, media_type: str | None = None, disposition: str | None = None
    ) -> str | None:
        """An address from which anybody can fetch the object for so long; None where this storage has none to give.

        The answer there has `Content-Type` and `Content-Disposition` as given. The address's query is a secret.
        """
        ...

    def post_form(self, key: str, *, size: int, seconds: int) -> PostForm | None:
        """With which anybody may write the object for so long, of exactly `size` bytes; None where there is none."""
        ...

    def check(self) -> None:
        """Raise `StorageUnavailable` or `DiskFull` when objects cannot be written now."""
        ...

    def remove_abandoned(self, *, older_than_seconds: float) -> int:
        """Remove what killed writers left half-done, if it is older than that; returns how many."""
        ...


class ClientPhotos(Protocol):
    """Photos in buckets of clients. Errors: `AddressNotAllowed`, `ImageUnreachable`, `StorageUnavailable`."""

    def open(self, bucket: str, key: str) -> BinaryIO:
        """A stream that the caller closes."""
        ...

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in order, without those that stand for folders."""
        ...


def is_key(key: str) -> bool:
    """Whether `key` is relative, without empty or hidden parts, of portable characters and at most 1000 long."""
    return len(key) <= 1000 and all(_PART.fullmatch(part) for part in key.split("/"))
