"""What the hand-off needs of the file system: one translation of a full disk, and folders that survive a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
