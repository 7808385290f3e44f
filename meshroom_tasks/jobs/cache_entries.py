"""What is known of the entries of the stage cache without asking the object store: when each was last used, and who
needs it.

An entry is needed by a live job (queued or running) when its engine, photos, node type and uid are those of a stage of
the job's graph. Every address that such a job names in its rows or may look for begins with just these, whatever its
lineage, so that nothing is missed. A job that has photos but no graph yet may come to need any entry of its photos. Of
one that has no photos yet nothing is known: what is evicted before its eyes is computed again (recovery.py).

Used last: when the entry was stored, taken over by another job, or named by a job that ended. Of those used last at the
same time the one made first stays longest: what was computed from it is worthless without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.records import Entry

_LIVE = ("queued", "running")
_PAGE = 1000


@dataclass(frozen=True)
class StoredEntry:
    """`size` is that of the bundle, in bytes."""

    address: str
    bundle_key: str
    digest: str
    size: int
    last_used_at: datetime


@dataclass(frozen=True)
class CacheStats:
    """Entries and bytes in all, and of those what live jobs need; the least recent use."""

    entries: int
    bytes: int
    needed_entries: int
    needed_bytes: int
    oldest_use: datetime | None


class CacheEntries(StoreBase):
    def cache_stats(self) -> CacheStats:
        entry = tables.cache_entry.c
        every = (sa.func.count(), sa.func.coalesce(sa.func.sum(entry.size), 0))
        with self.database.snapshot() as connection:
            count, size, oldest = connection.execute(sa.select(*every, sa.func.min(entry.last_used_at))).one()
            needed = connection.execute(sa.select(*every).select_from(tables.cache_entry).where(_is_needed())).one()
        return CacheStats(count, int(size), needed[0], int(needed[1]), oldest)

    def evictable_entries(self, limit: int, *, used_before: datetime | None = None) -> tuple[StoredEntry, ...]:
        """Entries that no live job needs, the least recently used first."""
        entry = tables.cache_entry.c
        query = sa.select(tables.cache_entry).where(~_is_needed())
        if used_before is not None:
            query = query.where(entry.last_used_at < used_before)
        query = query.order_by(entry.last_used_at, entry.created_at.desc(), entry.address).limit(limit)
        with self.database.snapshot() as connection:
            return tuple(_stored(row) for row in connection.execute(query))

    def folders_of_photos(self, photos_digest: str) -> tuple[str, ...]:
        """Where in the object store lies what was computed from these photos."""
        entry = tables.cache_entry.c
        query = sa.select(entry.engine).where(entry.photos_digest == photos_digest).distinct()
        with self.database.snapshot() as connection:
            return tuple(f"cache/{engine}/{photos_digest}" for engine in connection.scalars(query))

    def forget_entries_of_photos(self, photos_digest: str) -> None:
        """These are gone."""
        mine = tables.cache_entry.c.photos_digest == photos_digest
        with self.database.transaction() as connection:
            connection.execute(sa.delete(tables.cache_entry).where(mine))

    def is_evictable(self, entry: StoredEntry) -> bool:
        """Whether it still is as it was seen: neither used nor needed since."""
        query = sa.select(tables.cache_entry.c.address).where(_is(entry), ~_is_needed())
        with self.database.snapshot() as connection:
            return connection.execute(query).first() is not None

    def forget_entry(self, entry: StoredEntry) -> None:
        """Its objects are gone. Another one that took its place meanwhile stays."""
        with self.database.transaction() as connection:
            connection.execute(
                sa.delete(tables.cache_entry).where(
                    tables.cache_entry.c.address == entry.address, tables.cache_entry.c.bundle_key == entry.bundle_key
                )
            )

    def cache_entries(self) -> Iterator[StoredEntry]:
        """All, by address."""
        address = tables.cache_entry.c.address
        last = ""
        while True:
            with self.database.snapshot() as connection:
                query = sa.select(tables.cache_entry).where(address > last).order_by(address).limit(_PAGE)
                rows = connection.execute(query).all()
            yield from map(_stored, rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1].address

    def adopt_entry(self, entry: Entry, used_at: datetime) -> None:
        """Take note of an entry that was found in the object store and is unknown here."""
        with self.database.transaction() as connection:
            self._write_entry(connection, entry, used_at, used_at)

    def needed_bundles(self) -> frozenset[str]:
        """The bundles that the rows of live jobs name."""
        query = (
            sa.select(tables.step.c.entry)
            .join(tables.job, tables.job.c.id == tables.step.c.job_id)
            .where(tables.job.c.status.in_(_LIVE), tables.step.c.kind == "chunk", tables.step.c.state == "done")
        )
        with self.database.snapshot() as connection:
            return frozenset(entry["bundle_key"] for entry in connection.scalars(query) if entry)

    def _remember_entry(self, connection: sa.Connection, entry: Entry) -> None:
        """It was stored, or found, just now."""
        now = self._now(connection)
        self._write_entry(connection, entry, now, now)

    def _write_entry(self, connection: sa.Connection, entry: Entry, created_at: datetime, used_at: datetime) -> None:
        table = tables.cache_entry
        what = {"bundle_key": entry.bundle_key, "digest": entry.digest, "size": entry.size}
        new = {**_parts(entry.key), **what, "created_at": created_at, "last_used_at": used_at}
        same = table.c.bundle_key == entry.bundle_key
        connection.execute(
            self.database.insert(table)
            .values(address=entry.key, **new)
            .on_conflict_do_update(
                index_elements=[table.c.address],
                set_={
                    **what,
                    "last_used_at": used_at,
                    "created_at": sa.case((same, table.c.created_at), else_=created_at),
                },
            )
        )

    def _use_entries_of(self, connection: sa.Connection, job_id: str) -> None:
        """The job has ended: what its rows name was used until now.

        Entries that another job marks at this moment are passed over, so that no two transactions wait for each other.
        """
        table, step = tables.cache_entry, tables.step.c
        named = sa.select(step.address).where(step.job_id == job_id, step.state == "done", step.address.is_not(None))
        free = sa.select(table.c.address).where(table.c.address.in_(named)).with_for_update(skip_locked=True)
        found = connection.scalars(free).all()
        connection.execute(
            sa.update(table).where(table.c.address.in_(found)).values(last_used_at=self._now(connection))
        )


def _is_needed() -> sa.ColumnElement[bool]:
    entry, job, stage = tables.cache_entry.c, tables.job.c, tables.stage.c
    live = job.status.in_(_LIVE) & (job.photos_digest == entry.photos_digest)
    planned = sa.exists().where(
        live,
        job.engine == entry.engine,
        stage.job_id == job.id,
        stage.node_type == entry.node_type,
        stage.uid == entry.uid,
    )
    unplanned = sa.exists().where(live, ~sa.exists().where(stage.job_id == job.id))
    return planned | unplanned


def _is(seen: StoredEntry) -> sa.ColumnElement[bool]:
    entry = tables.cache_entry.c
    return (
        (entry.address == seen.address)
        & (entry.bundle_key == seen.bundle_key)
        & (entry.last_used_at == seen.last_used_at)
    )


def _parts(address: str) -> dict[str, str]:
    """Of `cache/<engine>/<photos digest>/<node type>/<uid>/<chunk>/<lineage>`."""
    _, engine, photos_digest, node_type, uid, *_ = address.split("/")
    return {"engine": engine, "photos_digest": photos_digest, "node_type": node_type, "uid": uid}


def _stored(row: Row) -> StoredEntry:
    return StoredEntry(row.address, row.bundle_key, row.digest, row.size, row.last_used_at)
