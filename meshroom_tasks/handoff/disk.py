"""What the hand-off needs of the file system: one translation of a full disk, folders that survive a power cut or go
in one step, and what they take."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from meshroom_tasks.errors import DiskFull

_SYNCS = 4


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk into `DiskFull`; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the disk of the worker's workspace is full: free space or enlarge it") from error
        raise


class Syncing:
    """Has files and folders written to disk on threads; the end of the block waits, and raises what went wrong.

    Several at a time share the file system's commits; and what is done meanwhile need not wait.
    """

    def __enter__(self) -> Syncing:
        self._threads = ThreadPoolExecutor(_SYNCS, thread_name_prefix="sync")
        self._moving: list[Future[None]] = []
        return self

    def add(self, path: Path) -> None:
        """Write what `path` holds by now."""
        self._moving.append(self._threads.submit(_sync, path))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._threads.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            for moving in self._moving:
                moving.result()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(temporary: Path, folder: Path) -> bool:
    """Give a finished folder its name, atomically; False when another was first.

    Everything in it is written to disk before: a rename may get there earlier than the content, and after a power
    cut the folder would be there with empty files.
    """
    with Syncing() as syncing:
        for path in (*temporary.rglob("*"), temporary):
            syncing.add(path)
    return give_name(temporary, folder)


def give_name(temporary: Path, folder: Path) -> bool:
    """The same for a folder that is on disk already."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def evict(folder: Path) -> None:
    """Remove a folder and its mark; nobody ever sees half of it."""
    gone = part_of(folder)
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    mark_of(folder).unlink(missing_ok=True)


def part_of(folder: Path) -> Path:
    """A new name for what is on its way to becoming `folder`, or to being gone."""
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")


def mark_of(folder: Path) -> Path:
    """The file beside a folder whose time is that of its last use, and whose content is its size."""
    return folder.with_name(f"{folder.name}.used")


def touch(folder: Path) -> None:
    """The folder is used now."""
    mark = mark_of(folder)
    try:
        os.utime(mark)
    except FileNotFoundError:
        mark.write_text(str(bytes_below(folder)))


def bytes_below(folder: Path, *, own: bool = False) -> int:
    """Bytes of all files below `folder`; `own`: without those that are linked to from elsewhere too.

    What vanishes meanwhile, as the folder of a run that ends, counts nothing.
    """
    total = 0
    for path in (Path(parent, name) for parent, _, names in os.walk(folder) for name in names):
        with suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and not (own and found.st_nlink > 1):
                total += found.st_size
    return total
