"""The workspace of one machine: photos, unpacked entries of the stage cache, and a private folder for each run.

    <root>/<engine>/<photos digest>/photos/             the same absolute path on every machine: uids depend on it
                                    photos.used         a mark: its time is that of the last use, its content the size
                                    entries/<digest>/   unpacked bundles, read-only in spirit, shared by all runs
                                    entries/<digest>.used
                                    runs/<token>/       p.mg and the MeshroomCache that one run sees

A run's cache holds hard links to what the run may read, so that preparing it costs no copying and no two runs ever
share a folder.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.handoff.disk import disk_errors, evict, mark_of, settle, touch
from meshroom_tasks.handoff.estimate import Kept
from meshroom_tasks.handoff.locked_folders import locked_folder, remove_dead

_BOOKKEEPING = re.compile(r"(\d+\.)?(status|log|statistics)")
_NAME = re.compile(r"[A-Za-z0-9_@+=,~-][A-Za-z0-9_@+=,~.-]*")


class RunFolder:
    """What one run of the engine sees: the graph and a cache with nothing but its read-set."""

    def __init__(self, path: Path, workspace: Workspace) -> None:
        self.path = path
        self.workspace = workspace
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
        with disk_errors():
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
        self.engine, self.photos_digest = _checked(engine), _checked(photos_digest)
        self.folder = root.absolute() / engine / photos_digest
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
            touch(entry)
        return entry

    def forget(self, digest: str) -> bool:
        """Drop an unpacked entry, so that it is fetched anew; whether it was there. Runs that it is linked into keep
        their links."""
        entry = self.entry_folder(digest)
        known = entry.is_dir()
        evict(entry)
        return known

    @contextmanager
    def run_folder(self, token: str) -> Iterator[RunFolder]:
        """A new folder for one run, removed at the end in any case.

        `DiskFull` when there is no room for it, `Conflict` when a run with this token is alive.
        """
        with locked_folder(self.runs / _checked(token)) as path:
            run = RunFolder(path, self)
            with disk_errors():
                run.cache.mkdir()
            yield run

    def kept(self) -> Iterator[Kept]:
        """What can be fetched again: the photos, and each unpacked entry."""
        for folder in (self.photos, *self.entries.glob("*")):
            if folder.is_dir() and not folder.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield _kept(folder)

    def remove_dead_runs(self) -> int:
        """Remove the folders of runs whose process is gone; returns how many."""
        return remove_dead(self.runs)

    def remove_parts(self) -> int:
        """Remove what killed processes have left half-done; no run may be alive. Returns how many."""
        parts = [part for folder in (self.folder, self.entries, self.photos) for part in folder.glob(".*.part")]
        for part in parts:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
        return len(parts)


def workspaces(root: Path) -> Iterator[Workspace]:
    """All that are below `root`."""
    for runs in root.glob("*/*/runs"):
        yield Workspace(root, runs.parent.parent.name, runs.parent.name)


def _kept(folder: Path) -> Kept:
    mark = mark_of(folder)
    if not mark.is_file():
        touch(folder)
    return Kept(folder, int(mark.read_text() or 0), mark.stat().st_mtime)


def _link_or_copy(source: Path, target: Path) -> None:
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
