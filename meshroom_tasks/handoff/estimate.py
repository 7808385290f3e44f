"""What a step takes on the disk of its worker, and what may go to make room for it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from meshroom_tasks.jobs.records import ReadItem, Work

_MARGIN = 1.5
"""Outputs differ from job to job."""
_PACKED = 3.0
"""How much larger files are than their compressed bundle, where it was not noted."""
_LEAST = 4 << 20
"""Of every run: graph, logs, statistics."""


@dataclass(frozen=True)
class Need:
    """Bytes that must find room: unpacked entries by digest, photos by name, and what the run itself writes."""

    entries: Mapping[str, int]
    photos: Mapping[str, int]
    output: int

    def missing(self, entries: Collection[str] = (), photos: Collection[str] = (), written: int = 0) -> int:
        """What is still to come when these are there, and so much was written."""
        return (
            sum(size for digest, size in self.entries.items() if digest not in entries)
            + sum(size for name, size in self.photos.items() if name not in photos)
            + max(0, self.output - written)
        )


def need_of(work: Work, expected_output: float | None = None) -> Need:
    """What the step needs. `expected_output`: bytes that such a step has left so far; None where there was none yet:
    then as much as it reads."""
    entries = {item.digest: _unpacked(item) for item in work.reads}
    photos = {photo.name: photo.size for photo in work.photos} if work.reads_photos or work.kind == "plan" else {}
    if work.kind == "plan":
        output = 0.0
    elif expected_output is None:
        output = sum(entries.values()) + sum(photos.values())
    else:
        output = expected_output * _MARGIN
    return Need(entries, photos, _LEAST + round(output))


def _unpacked(item: ReadItem) -> int:
    return item.unpacked_size or round(item.size * (1 if item.bundle_key.endswith(".tar") else _PACKED))


@dataclass(frozen=True)
class Kept:
    """A folder of `size` bytes that can be fetched again; `used_at` in seconds since 1970."""

    folder: Path
    size: int
    used_at: float


def to_evict(kept: Iterable[Kept], wanted: int) -> tuple[Kept, ...] | None:
    """The least recently used folders that hold `wanted` bytes together; None when all of them hold less."""
    chosen, found = [], 0
    for item in sorted(kept, key=lambda item: item.used_at):
        if found >= wanted:
            break
        chosen.append(item)
        found += item.size
    return tuple(chosen) if found >= wanted else None


def spoken_bytes(size: float) -> str:
    """`3.1 GB`, `800 MB`; never negative."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if size >= length:
            return f"{size / length:.3g} {unit}"
    return f"{max(0.0, size) / 1e3:.0f} kB"
