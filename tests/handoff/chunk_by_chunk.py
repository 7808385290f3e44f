"""A whole job by hand: each chunk prepared, computed and stored as a worker does it, without database or messages."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from meshroom_tasks.engine import Engine
from meshroom_tasks.graph import PlannedStage
from meshroom_tasks.handoff import Room, StageCache
from meshroom_tasks.handoff.preparation import Preparation, graph_key
from meshroom_tasks.ingest.stored import digest_of, store_photos
from meshroom_tasks.ingest.threads import never_stop
from meshroom_tasks.jobs.addresses import Address, lineage_of
from meshroom_tasks.jobs.records import Photo, ReadItem, Work
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.settings import PROJECT
from meshroom_tasks.storage import LocalStorage, Progress
from tests.handoff.conftest import files_of
from tests.handoff.holder import WORK, Holder

_BOOKKEEPING = re.compile(r"(\d+\.)?(status|log|statistics)")


@dataclass
class CountingStorage(LocalStorage):
    """Knows which objects were read."""

    root: Path
    read: list[str] = field(default_factory=list)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        self.read.append(key)
        return super().open(key, start, length)

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        self.read.append(key)
        super().get_file(key, path, progress=progress)


@dataclass
class Computed:
    """One chunk: what was fetched for it, and the files that it left, without their bookkeeping."""

    stage: PlannedStage
    fetched: set[str]
    reads: tuple[ReadItem, ...]
    files: dict[str, bytes]


class Bench:
    """`fresh`: the workspace is emptied before each chunk, as if each had a machine of its own."""

    def __init__(self, engine: Engine, photos: Path, workspace: Path, objects: Path, *, fresh: bool) -> None:
        self.engine, self.root, self.fresh = engine, workspace, fresh
        self.storage = CountingStorage(objects)
        self.cache = StageCache(self.storage)
        self.preparation = Preparation(self.storage, self.cache, Room(workspace))
        self.pipelines = PipelineShelf.load([PROJECT / "pipelines"]).for_engine("")
        self.photos = tuple(_photo(index, path) for index, path in enumerate(sorted(photos.iterdir())))
        self.digest = digest_of(self.photos)
        named = list(zip(self.photos, sorted(photos.iterdir()), strict=True))
        store_photos(self.storage, self.digest, named, progress=lambda _: None, stop=never_stop)

    def run(self, template: Path) -> dict[tuple[str, int], Computed]:
        """Every chunk of the job, in the order of the graph."""
        with self._prepared(self._work("plan")) as run:
            graph = self.engine.plan(
                photos=run.workspace.photos,
                template=template,
                folder=run.path,
                overrides={},
                watch=Holder(self._work("plan")),
                time_limit=300,
            )
            self.storage.put_file(graph_key("j"), run.graph)
        items: dict[str, list[ReadItem]] = {}
        computed = {}
        for stage in graph.stages:
            reads = tuple(item for name in stage.reads for item in items[name])
            for chunk in range(stage.chunk_count):
                item, computed[stage.name, chunk] = self._chunk(stage, chunk, reads)
                items.setdefault(stage.name, []).append(item)
        return computed

    def _chunk(self, stage: PlannedStage, chunk: int, reads: tuple[ReadItem, ...]) -> tuple[ReadItem, Computed]:
        if self.fresh:
            shutil.rmtree(self.root)
        work = self._work("chunk", stage, chunk, reads)
        self.storage.read.clear()
        with self._prepared(work) as run:
            fetched = set(self.storage.read)
            usage = self.engine.compute(
                folder=run.path,
                stage=stage.name,
                node_type=stage.node_type,
                uid=stage.uid,
                chunk=chunk if stage.chunked else None,
                watch=Holder(work),
                time_limit=600,
            )
            folder = run.stage_folder(stage.node_type, stage.uid)
            files = {name: data for name, data in files_of(folder).items() if not _BOOKKEEPING.fullmatch(name)}
            address = Address(work.engine, self.digest, stage.node_type, stage.uid, chunk, lineage_of(reads))
            entry = self.cache.put(address, folder, usage, keep_in=run.workspace)
        item = ReadItem(stage.node_type, stage.uid, chunk, entry.digest, entry.bundle_key, stage.name, entry.size)
        return item, Computed(stage, fetched, reads, files)

    def _prepared(self, work: Work):  # type: ignore[no-untyped-def]
        return self.preparation.run(Holder(work))

    def _work(
        self, kind: str, stage: PlannedStage | None = None, chunk: int = 0, reads: tuple[ReadItem, ...] = ()
    ) -> Work:
        return replace(
            WORK,
            kind=kind,  # type: ignore[arg-type]
            engine=self.engine.identity(),
            photos_digest=self.digest,
            photos=self.photos,
            chunk=chunk,
            reads=reads,
            reads_photos=stage is not None and self.pipelines.policy(stage.node_type).reads_photos,
        )


def _photo(index: int, path: Path) -> Photo:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    with Image.open(path) as picture:
        width, height = picture.size
    return Photo(index, f"{index:04d}_{sha256[:8]}.jpg", sha256, len(data), width, height, "image/jpeg")
