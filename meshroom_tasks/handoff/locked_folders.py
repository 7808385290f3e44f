"""Folders that live as long as the process that made them: the kernel drops the lock beside each with its owner."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshroom_tasks.errors import Conflict
from meshroom_tasks.handoff.disk import disk_errors


@contextmanager
def locked_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder, removed at the end in any case.

    `DiskFull` when there is no room for it, `Conflict` when one of this name has a living owner.
    """
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = try_lock(_lock_of(path))
    if lock is None:
        raise Conflict("this run has a folder already and is still alive", run=path.name)
    try:
        with disk_errors():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        yield path
    finally:
        _remove(path)
        os.close(lock)


def remove_dead(parent: Path) -> int:
    """Remove those folders below `parent` whose owner is gone, and their locks; returns how many."""
    removed = 0
    for name in {path.name.removesuffix(".lock") for path in parent.glob("*")}:
        path = parent / name
        if (lock := try_lock(_lock_of(path))) is not None:
            removed += path.is_dir()
            _remove(path)
            os.close(lock)
    return removed


def try_lock(path: Path) -> int | None:
    """A descriptor of the file, made if it is missing, that holds its lock; None when another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _lock_of(folder).unlink(missing_ok=True)
