"""Preparing a run: room on the disk, the photos, the read-set and the graph in a folder of its own."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from meshroom_tasks.errors import DiskFull, EngineError, ServiceError
from meshroom_tasks.handoff.disk import disk_errors, touch
from meshroom_tasks.handoff.estimate import need_of
from meshroom_tasks.handoff.refetching import distrusting
from meshroom_tasks.handoff.room import Room
from meshroom_tasks.handoff.stage_cache import StageCache
from meshroom_tasks.handoff.workspace import RunFolder, Workspace
from meshroom_tasks.ingest.stored import fetch_photos
from meshroom_tasks.ingest.threads import completed
from meshroom_tasks.jobs.records import ReadItem, Work
from meshroom_tasks.stops import Stopped
from meshroom_tasks.storage import Storage

_FULL = 1 << 20
"""With less than this free, a failure without a better reason is that of the disk."""


class Holder(Protocol):
    """Who works: the step, and whether to go on."""

    @property
    def work(self) -> Work: ...
    def stop_reason(self) -> ServiceError | None: ...
    def check(self) -> None: ...
    def moved(self, _bytes: int) -> None: ...


class Preparation:
    """`expected_output` tells of a step how many bytes such steps have left so far; None where there was none yet."""

    def __init__(
        self,
        storage: Storage,
        stage_cache: StageCache,
        room: Room,
        expected_output: Callable[[Work], float | None] = lambda _: None,
    ) -> None:
        self._storage = storage
        self._stage_cache = stage_cache
        self._room = room
        self._expected_output = expected_output

    @contextmanager
    def run(
        self, holder: Holder, *, engine: str | None = None, reads: tuple[ReadItem, ...] | None = None
    ) -> Iterator[RunFolder]:
        """A folder that holds what the step reads, and nothing else; removed at the end in any case.

        `engine`: where the step does not know it yet; `reads`: where it does not need all of them.
        Raises the holder's reason to stop, `WaitingForDisk`, `DiskFull` (also for what the block fails with because
        the disk is full), and what fetching raises.
        """
        work = holder.work
        work = replace(work, engine=engine or work.engine, reads=work.reads if reads is None else reads)
        workspace = Workspace(self._room.root, work.engine, work.photos_digest)
        need = need_of(work, self._expected_output(work))
        with (
            self._room.reserved(workspace, work.token, need, holder.check),
            workspace.run_folder(work.token) as run,
            self._full_disk_named(),
            distrusting(workspace, work.reads),
        ):
            if need.photos:
                fetch_photos(self._storage, work.photos_digest, work.photos, workspace.photos, holder.stop_reason)
                touch(workspace.photos)
            self._fetch_all(holder, work.reads, workspace)
            for item in work.reads:
                run.link(workspace.entry_folder(item.digest), item.node_type, item.uid)
            if work.kind == "chunk":
                self._storage.get_file(graph_key(work.job_id), run.graph)
            yield run

    @contextmanager
    def entry(self, holder: Holder, item: ReadItem) -> Iterator[Path]:
        """One entry's folder as it was stored, for reading alone; raises as `run` does."""
        work = holder.work
        workspace = Workspace(self._room.root, work.engine, work.photos_digest)
        need = replace(need_of(replace(work, reads=(item,), reads_photos=False)), output=0)
        with self._room.reserved(workspace, work.token, need, holder.check):
            self._fetch_all(holder, (item,), workspace)
            yield workspace.entry_folder(item.digest)

    def _fetch_all(self, holder: Holder, items: tuple[ReadItem, ...], workspace: Workspace) -> None:
        """Have all of them in the workspace. A few at a time, since small ones are little but waiting for the store."""
        over = threading.Event()

        def moved(size: int) -> None:
            if over.is_set():
                raise Stopped("what the step reads is not needed any more")
            holder.moved(size)

        def fetch(item: ReadItem) -> None:
            folder = self._stage_cache.fetch(item, workspace, progress=moved)
            with disk_errors():
                touch(folder)

        for _ in completed(fetch, items, holder.stop_reason, over.set):
            pass

    @contextmanager
    def _full_disk_named(self) -> Iterator[None]:
        """An engine that cannot write its log does not say why it failed."""
        try:
            with disk_errors():
                yield
        except EngineError as error:
            is_full = shutil.disk_usage(self._room.root).free < _FULL
            if is_full and error.retry.attempts > 1:
                sentence = "the stage failed on a full disk: it is tried again, make room in the worker's workspace"
                raise DiskFull(sentence, log_tail=error.log_tail, failed_with=error.code) from error
            raise


def graph_key(job_id: str) -> str:
    """Where the planned graph of a job is kept."""
    return f"jobs/{job_id}/graph.mg"
