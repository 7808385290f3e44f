"""The content address of a chunk's outputs. Pure.

An engine's uid names what was asked for, not the bytes: engines are not deterministic. So an address also carries the
lineage, a hash of the digests of all bundles that the chunk read, and one uid computed from other bytes is another
entry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from meshroom_tasks.jobs.records import ReadItem

_LINEAGE_DIGITS = 32


@dataclass(frozen=True)
class Address:
    """`block_size`: of a stage that is cut into several chunks; chunk 0 of another cut is another content."""

    engine: str
    photos_digest: str
    node_type: str
    uid: str
    chunk: int
    lineage: str
    block_size: int = 0

    @property
    def key(self) -> str:
        chunk = f"{self.chunk}x{self.block_size}" if self.block_size else str(self.chunk)
        return f"cache/{self.engine}/{self.photos_digest}/{self.node_type}/{self.uid}/{chunk}/{self.lineage}"


def address_block(chunk_count: int, block_size: int) -> int:
    """What of a block size belongs into addresses: nothing where one chunk holds the whole stage."""
    return block_size if chunk_count > 1 else 0


def lineage_of(reads: Iterable[ReadItem]) -> str:
    """Hash of the bundles read, whatever their order; hexadecimal."""
    items = sorted((item.node_type, item.uid, item.chunk, item.digest) for item in reads)
    return hashlib.sha256(json.dumps(items).encode()).hexdigest()[:_LINEAGE_DIGITS]
