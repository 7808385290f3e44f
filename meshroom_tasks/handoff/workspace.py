"""The workspace of one machine: photos, unpacked entries of the stage cache, and a private folder for each run.

    <root>/<engine>/<photos digest>/photos/             the same absolute path on every machine: uids depend on it
                                    entries/<digest>/   unpacked bundles, read-only in spirit, shared by all runs
                                    runs/<token>/       p.mg and the MeshroomCache that one run sees

A run's cache holds hard links to what the run may read, so that preparing it costs no copying and no two runs ever
share a folder. While a run lives, its owner holds a lock that the kernel drops with the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshroom_tasks.errors import Conflict, HandoffIncomplete
from meshroom_tasks.handoff.disk import disk_errors, settle

_BOOKKEEPING = re.compile(r"(\d+\.)?(status|log|statistics)")
_SCRATCH = "downloads"
_DAY_SECONDS = 86_400
_NAME = re.compile(r"[A-Za-z0-9_@+=,~-][A-Za-z0-9_@+=,~.-]*")


class RunFolder:
    """What one run of the engine sees: the graph and a cache with nothing but its read-set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.graph = path / "p.mg"
        self.cache = path / "MeshroomCache"

    def stage_folder(self, node_type: str, uid: str) -> Path:
        return self.cache / node_type / uid

    def link(self, entry: Path, node_type: str, uid: str) -> None:
        """Show an unpacked entry's files as outputs of the stage; the chunks of one stage merge there.

        Status, log and statistics files stay out: a run must not take another's state for its own. Where two chunks
        left a file of the same name, that of the first one linked stays.
        """
        if not entry.is_dir():
            raise HandoffIncomplete("an entry that the stage reads is not in the workspace", entry=entry.name)
        folder = self.stage_folder(node_type, uid)
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(entry.rglob("*")):
            name = source.relative_to(entry)
            if source.is_dir():
                (folder / name).mkdir(exist_ok=True)
            elif not _BOOKKEEPING.fullmatch(str(name)):
                with suppress(FileExistsError):
                    try:
                        _link_or_copy(source, folder / name)
                    except FileNotFoundError as error:
                        raise HandoffIncomplete("an entry went while it was linked", entry=entry.name) from error


class Workspace:
    """The part of the workspace that belongs to one engine (with its version) and one set of photos."""

    def __init__(self, root: Path, engine: str, photos_digest: str) -> None:
        self.folder = root.absolute() / _checked(engine) / _checked(photos_digest)
        self.photos = self.folder / "photos"
        self.entries = self.folder / "entries"
        self.runs = self.folder / "runs"

    def entry_folder(self, digest: str) -> Path:
        """Where the bundle with this digest is unpacked, once for all runs; it is there or not, never half."""
        return self.entries / _checked(digest)

    def adopt(self, folder: Path, digest: str) -> Path:
        """Make a run's finished stage folder the unpacked entry `digest`, instead of unpacking what was just packed.

        The folder is moved; what it holds must be what was packed.
        """
        entry = self.entry_folder(digest)
        self.entries.mkdir(parents=True, exist_ok=True)
        with disk_errors():
            settle(folder, entry)
        return entry

    def forget(self, digest: str) -> bool:
        """Drop an unpacked entry, so that it is fetched anew; whether it was there. Runs that it is linked into keep
        their links."""
        entry = self.entry_folder(digest)
        gone = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}.part")
        try:
            entry.rename(gone)
        except FileNotFoundError:
            return False
        shutil.rmtree(gone, ignore_errors=True)
        return True

    @contextmanager
    def run_folder(self, token: str) -> Iterator[RunFolder]:
        """A new folder for one run, removed at the end in any case.

        `DiskFull` when there is no room for it, `Conflict` when a run with this token is alive.
        """
        path = self.runs / _checked(token)
        with disk_errors():
            self.runs.mkdir(parents=True, exist_ok=True)
            lock = _lock(path)
        if lock is None:
            raise Conflict("this run has a folder already and is still alive", run=path.name)
        try:
            with disk_errors():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                run = RunFolder(path)
                run.cache.mkdir()
            yield run
        finally:
            _remove(path)
            os.close(lock)

    def remove_dead_runs(self) -> int:
        """Remove the folders of runs whose process is gone; returns how many."""
        removed = 0
        for path in tuple(self.runs.glob("*")):
            if path.is_dir() and (lock := _lock(path)) is not None:
                _remove(path)
                os.close(lock)
                removed += 1
        return removed


def scratch_folder(root: Path) -> Path:
    """Where downloads of this machine are kept until they are checked."""
    folder = root.absolute() / _SCRATCH
    with disk_errors():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def clean_workspaces(root: Path) -> int:
    """Remove what runs and downloads whose process is gone have left below `root`; returns how many."""
    removed = 0
    for runs in root.glob("*/*/runs"):
        removed += Workspace(root, runs.parent.parent.name, runs.parent.name).remove_dead_runs()
    yesterday = time.time() - _DAY_SECONDS
    for download in root.glob(f"{_SCRATCH}/*"):
        if download.stat().st_mtime < yesterday:
            _remove(download)
            removed += 1
    return removed


def _lock_path(run: Path) -> Path:
    return run.with_name(f"{run.name}.lock")


def _lock(run: Path) -> int | None:
    """An open, locked descriptor; None when another process holds the lock."""
    descriptor = os.open(_lock_path(run), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(run: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)
    _lock_path(run).unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    with disk_errors():
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
                raise
            with source.open("rb") as content, target.open("xb") as copy:
                shutil.copyfileobj(content, copy, 1 << 20)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a workspace folder")
    return name
