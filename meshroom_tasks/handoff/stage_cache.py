"""What stages have computed, kept in the object store under a content address.

An entry is a bundle and a marker that names it; the marker comes last and the first one wins, so an entry is there
whole or not at all, and all who computed the same chunk go on with the same bytes. Engines are not deterministic:
the address ends in the lineage, a hash of the very bundles that the chunk was computed from.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from meshroom_tasks.errors import BundleCorrupt, ObjectMissing, StoredResultLost
from meshroom_tasks.handoff.bundles import is_worth_compressing, pack, unpack
from meshroom_tasks.handoff.workspace import Workspace
from meshroom_tasks.jobs.addresses import Address
from meshroom_tasks.jobs.records import Entry, ReadItem, Usage
from meshroom_tasks.storage import Progress, Storage

PREFIX = "cache"
_MARKER = ".json"
_COMPRESSED = (".tar.zst", "application/zstd")
_PLAIN = (".tar", "application/x-tar")


class StageCache:
    """The entries in one storage. All methods raise `StorageUnavailable` or `DiskFull` besides what they name."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def find(self, address: Address) -> Entry | None:
        """The entry at this address, None where there is none. A marker without its bundle is dropped."""
        marker = _marker_key(address.key)
        try:
            content = self._storage.get_bytes(marker)
        except ObjectMissing:
            return None
        entry = _read_marker(address.key, content)
        info = self._storage.stat(entry.bundle_key) if entry is not None else None
        if entry is None or info is None or info.size != entry.size:
            self._storage.delete(marker)
            return None
        return entry

    def drop(self, address: Address) -> None:
        """Forget the entry, so that it is computed anew; its bundle stays for those who were told of it."""
        self._storage.delete(_marker_key(address.key))

    def evict(self, key: str, bundle_key: str | None) -> None:
        """Remove the entry at the address `key`: its marker, unless it names another bundle by now, then the bundle."""
        entry = self.entry_at(key)
        if entry is None or entry.bundle_key == bundle_key:
            self._storage.delete(_marker_key(key))
        if bundle_key is not None:
            self._storage.delete(bundle_key)

    def put(
        self,
        address: Address,
        folder: Path,
        usage: Usage | None,
        *,
        keep_in: Workspace | None = None,
        progress: Progress | None = None,
    ) -> Entry:
        """Store a finished chunk's folder; what counts is the returned entry, which may be another writer's.

        The folder is streamed to the store: no copy of it is made in memory or on disk.
        With `keep_in` the folder is moved into that workspace's entries when it is what was stored, so that the next
        stage on this machine need not fetch it. `progress` hears of the bytes packed, before compression.
        """
        compress = is_worth_compressing(folder)
        suffix, media_type = _COMPRESSED if compress else _PLAIN
        # The digest is known only when all has been sent, so that the name of the bundle cannot tell it.
        bundle_key = f"{address.key}-{uuid.uuid4().hex[:16]}{suffix}"
        with self._storage.create(bundle_key, media_type=media_type) as bundle:
            packed = pack(folder, bundle, compress=compress, progress=progress)
        ours = Entry(address.key, bundle_key, packed.digest, packed.size, usage, unpacked_size=packed.unpacked_size)
        winner = self._publish(address, ours)
        if keep_in is not None and winner.digest == ours.digest:
            keep_in.adopt(folder, ours.digest)
        return winner

    def fetch(self, item: ReadItem, workspace: Workspace, *, progress: Progress | None = None) -> Path:
        """The folder of an entry, unpacked; from the object store if this machine does not have it yet.

        `StoredResultLost` when it is gone or damaged: the entry is dropped, and its chunk must be computed again.
        `progress` hears of the bundle's bytes.
        """
        folder = workspace.entry_folder(item.digest)
        if folder.is_dir():
            return folder
        try:
            with self._storage.open(item.bundle_key) as bundle:
                unpack(bundle, folder, digest=item.digest, progress=progress)
        except ObjectMissing as error:
            self.evict(key_of_bundle(item.bundle_key), item.bundle_key)
            raise _lost(item, "gone") from error
        except BundleCorrupt as error:
            self.evict(key_of_bundle(item.bundle_key), item.bundle_key)
            raise _lost(item, "damaged") from error
        return folder

    def entry_at(self, key: str) -> Entry | None:
        """The entry as its marker tells; None where there is none, or one that is not ours."""
        try:
            return _read_marker(key, self._storage.get_bytes(_marker_key(key)))
        except ObjectMissing:
            return None

    def _publish(self, address: Address, ours: Entry) -> Entry:
        """Write the marker, or adopt that of the writer who was first."""
        marker = _marker_key(address.key)
        while not self._storage.put_bytes(marker, _marker(ours), if_absent=True, media_type="application/json"):
            winner = self.find(address)
            if winner is not None:
                if winner.bundle_key != ours.bundle_key:
                    self._storage.delete(ours.bundle_key)
                return _as_computed(winner)
        return ours


def is_marker(key: str) -> bool:
    """Whether a key below `PREFIX` is that of a marker; all others are bundles."""
    return key.endswith(_MARKER)


def key_of_marker(marker: str) -> str:
    """The address whose marker it is."""
    return marker.removesuffix(_MARKER)


def _marker_key(key: str) -> str:
    return f"{key}{_MARKER}"


def key_of_bundle(bundle_key: str) -> str:
    """The address that the bundle was stored for."""
    return bundle_key.rpartition("-")[0]


def _marker(entry: Entry) -> bytes:
    usage = asdict(entry.usage) if entry.usage is not None else None
    content = {
        "bundle": entry.bundle_key,
        "digest": entry.digest,
        "size": entry.size,
        "unpacked_size": entry.unpacked_size,
        "usage": usage,
    }
    return json.dumps(content).encode()


def _read_marker(key: str, content: bytes) -> Entry | None:
    """None when it is no marker of ours."""
    try:
        fields: dict[str, Any] = json.loads(content)
        usage = Usage(**fields["usage"]) if fields["usage"] is not None else None
        bundle_key, digest, size = str(fields["bundle"]), str(fields["digest"]), int(fields["size"])
        unpacked_size = int(fields.get("unpacked_size", 0))
    except (ValueError, KeyError, TypeError):
        return None
    if key_of_bundle(bundle_key) != key:
        return None
    return Entry(key, bundle_key, digest, size, usage, cached=True, unpacked_size=unpacked_size)


def _lost(item: ReadItem, how: str) -> StoredResultLost:
    return StoredResultLost(
        f"the stored result of {item.stage or item.node_type} is {how}, also after it was computed anew: look at the "
        "object store, then requeue the job",
        bundle_keys=(item.bundle_key,),
        stage=item.stage,
        chunk=item.chunk,
    )


def _as_computed(entry: Entry) -> Entry:
    return replace(entry, cached=False)
