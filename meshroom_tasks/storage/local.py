"""Objects as files of one folder.

A writer fills a file of its own in `.incoming` and then gives it its name: by rename, or by hard link where the first
writer is to win. Both are atomic, so that readers never see half an object, also after `kill -9` or a power cut.
"""

from __future__ import annotations

import errno
import io
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from meshroom_tasks.errors import DiskFull, ObjectMissing, StorageUnavailable
from meshroom_tasks.storage.base import ObjectInfo, PostForm, Progress, Sink, is_key

_CHUNK = 1 << 20
_INCOMING = ".incoming"


class LocalStorage:
    """`Storage` in the folder `root`, which is made when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

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
            return self._put(key, source, if_absent, progress)

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False, media_type: str | None = None) -> bool:
        return self._put(key, io.BytesIO(data), if_absent, None)

    @contextmanager
    def create(self, key: str, *, media_type: str | None = None) -> Iterator[Sink]:
        target = self._path(key)
        with _writing(key):
            incoming = self._incoming()
            file = incoming.open("xb")
        try:
            with file:
                yield _IncomingFile(key, file)
                with _writing(key):
                    file.flush()
                    os.fsync(file.fileno())
            with _writing(key):
                _name(incoming, target, if_absent=False)
        finally:
            incoming.unlink(missing_ok=True)

    def get_bytes(self, key: str) -> bytes:
        with _reading(key):
            return self._existing(key).read_bytes()

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        with _reading(key), self._existing(key).open("rb") as source:
            part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
            try:
                with part.open("xb") as target:
                    _copy(source, target, progress)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("a range has no negative start or length")
        with _reading(key):
            source = self._existing(key).open("rb")
            source.seek(start)
        return source if length is None else io.BufferedReader(_Window(source, length), _CHUNK)

    def stat(self, key: str) -> ObjectInfo | None:
        if not is_key(key):
            return None
        try:
            with _reading(key):
                found = self._existing(key).stat()
        except ObjectMissing:
            return None
        return ObjectInfo(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def list(self, prefix: str = "") -> Iterator[str]:
        folder = self._folder(prefix)
        for path in _files_below(folder):
            yield path.relative_to(self.root).as_posix()

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        for key in self.list(prefix):
            if (found := self.stat(key)) is not None:
                yield key, found.size

    def delete(self, key: str) -> None:
        if is_key(key):
            with suppress(ObjectMissing), _reading(key):
                path = self._path(key)
                if path.is_file():
                    path.unlink(missing_ok=True)
                    self._drop_empty_folders(path.parent)

    def delete_prefix(self, prefix: str) -> None:
        if not prefix.strip("/"):
            raise ValueError("an empty prefix would delete everything")
        for key in tuple(self.list(prefix)):
            self.delete(key)

    def url(
        self, key: str, *, seconds: int, media_type: str | None = None, disposition: str | None = None
    ) -> str | None:
        return None

    def post_form(self, key: str, *, size: int, seconds: int) -> PostForm | None:
        return None

    def check(self) -> None:
        with _writing("a probe"):
            probe = self._incoming()
            probe.write_bytes(b"ok")
            probe.unlink()

    def remove_abandoned(self, *, older_than_seconds: float) -> int:
        removed = 0
        before = time.time() - older_than_seconds
        for path in (self.root / _INCOMING).glob("*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
        return removed

    def _put(self, key: str, source: BinaryIO, if_absent: bool, progress: Progress | None) -> bool:
        target = self._path(key)
        with _writing(key):
            if if_absent and target.is_file():
                return False
            incoming = self._incoming()
            try:
                with incoming.open("xb") as file:
                    _copy(source, file, progress)
                    file.flush()
                    os.fsync(file.fileno())
                return _name(incoming, target, if_absent)
            finally:
                incoming.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not is_key(key):
            raise ValueError(f"{key!r} is not an object key")
        return self.root / key

    def _existing(self, key: str) -> Path:
        if not is_key(key) or not (path := self.root / key).is_file():
            raise _missing(key)
        return path

    def _folder(self, prefix: str) -> Path:
        prefix = prefix.strip("/")
        return self._path(prefix) if prefix else self.root

    def _incoming(self) -> Path:
        folder = self.root / _INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid.uuid4().hex

    def _drop_empty_folders(self, folder: Path) -> None:
        with suppress(OSError):
            while folder != self.root:
                folder.rmdir()
                folder = folder.parent


class _IncomingFile:
    """A file that tells its errors in the service's terms, so that they are not taken for those of its writer."""

    def __init__(self, key: str, file: BinaryIO) -> None:
        self._key = key
        self._file = file

    def write(self, data: bytes, /) -> int:
        with _writing(self._key):
            return self._file.write(data)

    def flush(self) -> None:
        with _writing(self._key):
            self._file.flush()


class _Window(io.RawIOBase):
    """The next `length` bytes of a stream, which it closes with itself."""

    def __init__(self, source: BinaryIO, length: int) -> None:
        self._source = source
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


def _name(incoming: Path, target: Path, if_absent: bool) -> bool:
    """Give the finished file its name; False when `if_absent` and another was first."""
    while True:
        made = _make_folders(target.parent)
        try:
            if if_absent:
                os.link(incoming, target)
            else:
                incoming.replace(target)
        except FileExistsError:
            return False
        except FileNotFoundError:
            # Another's delete has just removed the folder that was empty until now.
            if incoming.exists():
                continue
            raise
        for folder in (target.parent, *made):
            _sync_folder(folder)
        return True


def _make_folders(folder: Path) -> tuple[Path, ...]:
    """Make the folder; returns the parents of those that were new, which must be synced too."""
    if folder.is_dir():
        return ()
    new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(parent.parent for parent in new)


def _sync_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _copy(source: BinaryIO, target: BinaryIO, progress: Progress | None) -> None:
    while data := source.read(_CHUNK):
        target.write(data)
        if progress is not None:
            progress(len(data))


def _files_below(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(Path(entry.path))
        else:
            yield Path(entry.path)


def _missing(key: str) -> ObjectMissing:
    return ObjectMissing(f"there is no object {key!r} in storage", key=key)


@contextmanager
def _reading(key: str) -> Iterator[None]:
    try:
        with _writing(key):
            yield
    except FileNotFoundError as error:
        raise _missing(key) from error


@contextmanager
def _writing(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the disk of the object storage is full: free space or enlarge it", key=key) from error
        raise StorageUnavailable(f"the object storage cannot be used: {error.strerror or error}", key=key) from error
