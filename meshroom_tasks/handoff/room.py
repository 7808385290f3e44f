"""Room on the disk of a workspace: reserved before a step starts, made by evicting what can be fetched again.

    <root>/reservations/<token>.json    what a living step still needs and uses; its lock ends with the process
                        ledger.lock     held while somebody looks, evicts and reserves

Several processes and several workers may share a root. What a reservation names is never evicted.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from meshroom_tasks.errors import Conflict
from meshroom_tasks.handoff.disk import bytes_below, disk_errors, evict
from meshroom_tasks.handoff.estimate import Kept, Need, spoken_bytes, to_evict
from meshroom_tasks.handoff.locked_folders import remove_dead, try_lock
from meshroom_tasks.handoff.workspace import Workspace, workspaces
from meshroom_tasks.logs import logger
from meshroom_tasks.stops import WaitingForDisk

log = logger(__name__)

_RESERVATIONS = "reservations"
_DOWNLOADS = "downloads"
_LEDGER = "ledger.lock"
_LEDGER_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class _Reservation:
    engine: str
    photos_digest: str
    token: str
    need: Need

    def outstanding(self, workspace: Workspace) -> int:
        """Bytes that the step will still write."""
        entries = {digest for digest in self.need.entries if workspace.entry_folder(digest).is_dir()}
        photos = {name for name in self.need.photos if (workspace.photos / name).is_file()}
        return self.need.missing(entries, photos, bytes_below(workspace.runs / self.token, own=True))


class Room:
    """The disk below `root`. `max_bytes`: what all of it may take together (0: what the file system has);
    `keep_free`: what the file system must have left."""

    def __init__(self, root: Path, max_bytes: int = 0, keep_free: int = 0) -> None:
        self.root = root.absolute()
        self._max_bytes = max_bytes
        self._keep_free = keep_free
        self._folder = self.root / _RESERVATIONS

    @contextmanager
    def reserved(self, workspace: Workspace, token: str, need: Need, check: Callable[[], None]) -> Iterator[None]:
        """Room for `need` during the block; what it names stays. `check` may raise a reason to stop waiting.

        `WaitingForDisk` when there is too little, even with all evicted that nobody uses; `DiskFull`.
        """
        ours = _Reservation(workspace.engine, workspace.photos_digest, token, need)
        with disk_errors(), self._ledger(check):
            self._make_room(ours, self._living())
            release = self._enter(ours)
        try:
            yield
        finally:
            release()

    def clear_away(self) -> int:
        """Remove what dead processes have left; returns how many folders."""
        with self._ledger(lambda: None):
            busy = {self._workspace(item).folder for item in self._living()}
            found = list(workspaces(self.root))
            return (
                sum(item.remove_dead_runs() for item in found)
                + sum(item.remove_parts() for item in found if item.folder not in busy)
                + remove_dead(self.root / _DOWNLOADS)
            )

    def forget(self, digests: Collection[str]) -> int:
        """Remove the workspaces of these photos but for those in which a step is at work; returns how many."""
        gone = []
        with self._ledger(lambda: None):
            busy = {self._workspace(item).folder for item in self._living()}
            for item in workspaces(self.root):
                if item.photos_digest in digests and item.folder not in busy:
                    # Out of the way first: to remove it takes a while, and others wait for the ledger.
                    gone.append(self.downloads(f"forgotten-{uuid.uuid4().hex}"))
                    gone[-1].parent.mkdir(exist_ok=True)
                    item.folder.rename(gone[-1])
        for folder in gone:
            shutil.rmtree(folder, ignore_errors=True)
        return len(gone)

    def downloads(self, token: str) -> Path:
        """Where a step may put what it downloads."""
        return self.root / _DOWNLOADS / token

    def _enter(self, ours: _Reservation) -> Callable[[], None]:
        """Write the reservation down; what is returned takes it back."""
        path = self._folder / f"{ours.token}.json"
        lock = try_lock(path)
        if lock is None:
            raise Conflict("this run has reserved room already and is still alive", run=ours.token)

        def release() -> None:
            path.unlink(missing_ok=True)
            os.close(lock)

        try:
            path.write_text(json.dumps(asdict(ours)))
        except BaseException:
            release()
            raise
        return release

    def _make_room(self, ours: _Reservation, living: Sequence[_Reservation]) -> None:
        wanted = ours.outstanding(self._workspace(ours))
        if wanted <= self._free(living):
            return
        kept = [item for item in self._kept() if item.folder not in self._in_use([*living, ours])]
        short = wanted - self._free(living)
        evicted = to_evict(kept, short)
        if evicted is None:
            free = self._free(living) + sum(item.size for item in kept)
            raise WaitingForDisk(
                f"needs {spoken_bytes(wanted)}, {spoken_bytes(free)} free", needed_bytes=wanted, free_bytes=max(0, free)
            )
        for item in evicted:
            evict(item.folder)
        log.info("made room", folders=len(evicted), bytes=sum(item.size for item in evicted), wanted=wanted)

    def _free(self, living: Sequence[_Reservation]) -> int:
        """Bytes that are neither used nor promised."""
        free = shutil.disk_usage(self.root).free - self._keep_free
        if self._max_bytes:
            free = min(free, self._max_bytes - self._used())
        return free - sum(item.outstanding(self._workspace(item)) for item in living)

    def _used(self) -> int:
        runs = sum(bytes_below(item.runs, own=True) for item in workspaces(self.root))
        return runs + bytes_below(self.root / _DOWNLOADS) + sum(item.size for item in self._kept())

    def _kept(self) -> Iterator[Kept]:
        for workspace in workspaces(self.root):
            yield from workspace.kept()

    def _in_use(self, reservations: Sequence[_Reservation]) -> set[Path]:
        used = set()
        for item in reservations:
            workspace = self._workspace(item)
            used |= {workspace.entry_folder(digest) for digest in item.need.entries}
            used |= {workspace.photos} if item.need.photos else set()
        return used

    def _workspace(self, reservation: _Reservation) -> Workspace:
        return Workspace(self.root, reservation.engine, reservation.photos_digest)

    def _living(self) -> list[_Reservation]:
        """The reservations of living processes. What dead ones have left is removed."""
        living, dead = [], []
        for path in self._folder.glob("*.json"):
            if (lock := try_lock(path)) is None:
                with suppress(FileNotFoundError):  # It has just ended.
                    living.append(_read(path))
            else:
                dead.append((path, lock))
        busy = {self._workspace(item).folder for item in living}
        for path, lock in dead:
            with suppress(ValueError, KeyError, TypeError):
                workspace = self._workspace(_read(path))
                workspace.remove_dead_runs()
                if workspace.folder not in busy:
                    workspace.remove_parts()
            path.unlink(missing_ok=True)
            os.close(lock)
        return living

    @contextmanager
    def _ledger(self, check: Callable[[], None]) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _LEDGER_SECONDS
        while (lock := try_lock(self._folder / _LEDGER)) is None:
            check()
            if time.monotonic() > deadline:
                raise WaitingForDisk("another process of this machine has been making room for a minute")
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            os.close(lock)


def _read(path: Path) -> _Reservation:
    content = json.loads(path.read_text())
    return _Reservation(**{**content, "need": Need(**content["need"])})
