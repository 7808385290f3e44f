"""Keeping the stage cache within its limits: the least recently used first, and never what a live job needs.

What may go is a question to the job store (jobs/cache_entries.py), not a listing of the bucket. The marker goes first,
then the bundle, then the row: whatever is interrupted is taken up again, and a job that looks the entry up at this very
moment finds either all of it, or nothing, or a bundle that is missing and has it computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from meshroom_tasks.handoff.stage_cache import StageCache
from meshroom_tasks.jobs.cache_entries import StoredEntry
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.settings import Settings

_BATCH = 100


@dataclass(frozen=True)
class CacheLimits:
    """Bytes of all bundles, and seconds since the last use; 0 means no limit."""

    bytes: int = 0
    age_seconds: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> CacheLimits:
        return cls(settings.cache_max_bytes, settings.cache_max_age_seconds)


@dataclass(frozen=True)
class Evicted:
    """`bytes` of the bundles; `still_over`: how many bytes of what live jobs need are beyond the limit."""

    entries: int
    bytes: int
    still_over: int


def evict(store: JobStore, cache: StageCache, limits: CacheLimits, *, dry_run: bool = False) -> Evicted:
    """Remove what is too old, and the least recently used until the rest is small enough."""
    count = size = 0
    stats = store.cache_stats()
    kept: set[str] = set()
    while batch := _next_batch(store, stats.entries if dry_run else _BATCH, kept):
        for entry in batch:
            over = stats.bytes - size - limits.bytes if limits.bytes else 0
            if over <= 0 and not _is_too_old(entry, limits):
                return Evicted(count, size, 0)
            if dry_run or not _remove(store, cache, entry):
                kept.add(entry.address)
                if not dry_run:
                    continue
            count, size = count + 1, size + entry.size
    return Evicted(count, size, max(0, stats.bytes - size - limits.bytes) if limits.bytes else 0)


def _next_batch(store: JobStore, count: int, kept: set[str]) -> list[StoredEntry]:
    """What may go: the oldest use first, so that both limits ask for the same ones. Not those that came into use."""
    return [entry for entry in store.evictable_entries(count + len(kept)) if entry.address not in kept]


def _remove(store: JobStore, cache: StageCache, entry: StoredEntry) -> bool:
    if not store.is_evictable(entry):
        return False
    cache.evict(entry.address, entry.bundle_key)
    store.forget_entry(entry)
    return True


def _is_too_old(entry: StoredEntry, limits: CacheLimits) -> bool:
    age = datetime.now(UTC) - entry.last_used_at
    return 0 < limits.age_seconds < age.total_seconds()
