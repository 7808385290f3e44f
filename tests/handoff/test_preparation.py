"""What a step reads is fetched side by side, and linked in the order in which it reads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pytest

from meshroom_tasks.errors import StoredResultLost
from meshroom_tasks.handoff import Room, StageCache
from meshroom_tasks.handoff.preparation import Preparation, graph_key
from meshroom_tasks.jobs.addresses import Address
from meshroom_tasks.jobs.records import ReadItem
from meshroom_tasks.storage import LocalStorage
from tests.handoff.conftest import files_of
from tests.handoff.holder import WORK, Holder

ENTRIES = 6


@dataclass
class InPairs(LocalStorage):
    """Opens a bundle when another is opened as well."""

    root: Path
    pair: threading.Barrier = field(default_factory=lambda: threading.Barrier(2), init=False)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if key.startswith("cache/"):
            self.pair.wait(timeout=60)
        return super().open(key, start, length)


@pytest.fixture
def storage(tmp_path: Path) -> InPairs:
    storage = InPairs(tmp_path / "objects")
    storage.put_bytes(graph_key("j"), b"{}")
    return storage


@pytest.fixture
def reads(storage: InPairs, tmp_path: Path) -> tuple[ReadItem, ...]:
    """One stage's chunks; each has a file of its own and one that all of them have."""
    cache, items = StageCache(storage), []
    for number in range(ENTRIES):
        folder = tmp_path / f"stage{number}"
        folder.mkdir()
        for name in (f"{number}.bin", "all.bin"):
            (folder / name).write_text(f"of chunk {number}")
        entry = cache.put(Address("engine-1.0", "photos0", "A", "u", number, "l"), folder, None)
        items.append(ReadItem("A", "u", number, entry.digest, entry.bundle_key, "A_1", entry.size, entry.unpacked_size))
    return tuple(items)


def test_side_by_side_and_in_order(storage: InPairs, reads: tuple[ReadItem, ...], tmp_path: Path) -> None:
    preparation = Preparation(storage, StageCache(storage), Room(tmp_path / "workspace"))
    for order in (reads, reads[::-1]):
        with preparation.run(Holder(replace(WORK, reads=order))) as run:
            own = {f"{number}.bin": f"of chunk {number}".encode() for number in range(ENTRIES)}
            first = f"of chunk {order[0].chunk}".encode()
            assert files_of(run.stage_folder("A", "u")) == own | {"all.bin": first}


def test_one_that_is_lost_ends_all(storage: InPairs, reads: tuple[ReadItem, ...], tmp_path: Path) -> None:
    storage.delete(reads[1].bundle_key)
    alone = LocalStorage(storage.root)
    preparation = Preparation(alone, StageCache(alone), Room(tmp_path / "workspace"))
    step = Holder(replace(WORK, reads=reads))
    with pytest.raises(StoredResultLost) as caught, preparation.run(step):
        pytest.fail("the step would begin without all that it reads")
    assert caught.value.bundle_keys == (reads[1].bundle_key,)
    assert not list((tmp_path / "workspace").rglob("*.part"))
