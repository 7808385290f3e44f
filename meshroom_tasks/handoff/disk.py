"""What the hand-off needs of the file system: one translation of a full disk, folders that survive a power cut or go
in one step, and what they take."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshroom_tasks.errors import DiskFull


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk into `DiskFull`; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the disk of the worker's workspace is full: free space or enlarge it") from error
        raise


def settle(temporary: Path, folder: Path) -> bool:
    """Give a finished folder its name, atomically; False when another was first.

    Everything in it is written to disk before: a rename may get there earlier than the content, and after a power
    cut the folder would be there with empty files.
    """
    for path in (*temporary.rglob("*"), temporary):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
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
