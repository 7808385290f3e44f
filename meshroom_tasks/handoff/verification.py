"""Comparing the stage cache in the object store with what the job store knows of it, and mending what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from meshroom_tasks.errors import ObjectMissing
from meshroom_tasks.handoff.stage_cache import PREFIX, StageCache, is_marker, key_of_bundle, key_of_marker
from meshroom_tasks.jobs.cache_entries import StoredEntry
from meshroom_tasks.jobs.records import Entry
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.storage import Storage

ORPHAN_SECONDS = 86_400.0
"""A bundle without a marker is left alone for so long: its writer may be about to write the marker."""

_READ_BYTES = 1 << 20

Kind = Literal["marker_without_bundle", "bundle_without_marker", "damaged_bundle", "unknown_entry", "vanished_entry"]


@dataclass(frozen=True)
class Finding:
    """`key`: of the object that is wrong; of an unknown or vanished entry, its address. `size` in bytes."""

    kind: Kind
    key: str
    size: int = 0


class Verification:
    """`orphan_seconds`: how old a bundle without a marker must be to count."""

    def __init__(self, store: JobStore, storage: Storage, *, orphan_seconds: float = ORPHAN_SECONDS) -> None:
        self._store = store
        self._storage = storage
        self._cache = StageCache(storage)
        self._orphan_seconds = orphan_seconds

    def orphans(self, *, repair: bool) -> Iterator[Finding]:
        """Bundles that no marker names and no live job, left by workers that were killed between the two."""
        before = datetime.now(UTC) - timedelta(seconds=self._orphan_seconds)
        named = self._store.needed_bundles() | {entry.bundle_key for entry in self._store.cache_entries()}
        for key in self._storage.list(PREFIX):
            if is_marker(key) or key in named:
                continue
            info = self._storage.stat(key)
            entry = self._cache.entry_at(key_of_bundle(key))
            if info is None or info.modified >= before or (entry is not None and entry.bundle_key == key):
                continue
            yield Finding("bundle_without_marker", key, info.size)
            if repair:
                self._storage.delete(key)

    def verify(self, *, deep: bool, repair: bool) -> Iterator[Finding]:
        """Everything that is wrong; with `repair` it is put right as it is told.

        `deep`: read all bundles and compare their digests.
        """
        known = {entry.address: entry for entry in self._store.cache_entries()}
        for key in tuple(self._storage.list(PREFIX)):
            if is_marker(key):
                yield from self._verify_entry(key_of_marker(key), known, deep, repair)
        for entry in known.values():
            yield Finding("vanished_entry", entry.address, entry.size)
            if repair:
                self._store.forget_entry(entry)
        yield from self.orphans(repair=repair)

    def _verify_entry(self, address: str, known: dict[str, StoredEntry], deep: bool, repair: bool) -> Iterator[Finding]:
        entry = self._cache.entry_at(address)
        row = known.pop(address, None)
        info = self._storage.stat(entry.bundle_key) if entry is not None else None
        if entry is None or info is None or info.size != entry.size:
            yield Finding("marker_without_bundle", address, entry.size if entry else 0)
            if repair:
                self._drop(address, entry, row)
            return
        if deep and not self._is_sound(entry):
            yield Finding("damaged_bundle", entry.bundle_key, entry.size)
            if repair:
                self._drop(address, entry, row)
            return
        if row is None or row.bundle_key != entry.bundle_key:
            yield Finding("unknown_entry", address, entry.size)
            if repair:
                self._store.adopt_entry(entry, info.modified)

    def _drop(self, address: str, entry: Entry | None, row: StoredEntry | None) -> None:
        self._cache.evict(address, entry.bundle_key if entry is not None else None)
        if row is not None:
            self._store.forget_entry(row)

    def _is_sound(self, entry: Entry) -> bool:
        digest = hashlib.sha256()
        try:
            with self._storage.open(entry.bundle_key) as bundle:
                while data := bundle.read(_READ_BYTES):
                    digest.update(data)
        except ObjectMissing:
            return False
        return digest.hexdigest() == entry.digest
