"""The sets of photos in the object store, which jobs with the same photos share, whoever they belong to.

A set may go when no job has its photos any more. A job says which set it is about to use before it looks what is there
of it, and whoever removes a set says so before the first file goes: of the two, the database lets one be first.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import sqlalchemy as sa

from meshroom_tasks.errors import PhotosBeingRemoved
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.records import Work
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.stops import LeaseLost

_AT_A_TIME = 500
_REMOVER_GONE = timedelta(minutes=2)
"""Whoever began to remove a set so long ago, and is not done, is taken for dead."""


class PhotoSets(StoreBase):
    @briefly
    def use_photos(self, work: Work, photos_digest: str) -> None:
        """The job that is being ingested has these photos: they stay from now on.

        Raises PhotosBeingRemoved, LeaseLost.
        """
        with self.database.transaction() as connection:
            self._lock_job(connection, work.job_id)
            step = tables.step.c
            held = sa.select(step.id).where(step.id == work.step_id, step.token == work.token, step.state == "running")
            if connection.execute(held).first() is None:
                raise LeaseLost("another worker has taken the step over", job_id=work.job_id)
            self._note_photos(connection, photos_digest)
            found = self._lock_photos(connection, photos_digest)
            if found is None or found.removing_since is not None:
                raise PhotosBeingRemoved("the same photos of an earlier job are just being removed; it is tried again")
            self._update_job(connection, work.job_id, photos_digest=photos_digest)

    @briefly
    def unused_photos(self, limit: int) -> tuple[str, ...]:
        """Digests of the sets that no job has, and of those that somebody began to remove some time ago."""
        photos = tables.photo_set.c
        with self.database.snapshot() as connection:
            left = photos.removing_since < self._now(connection) - _REMOVER_GONE
            unused = photos.removing_since.is_(None) & ~_is_used(photos.digest)
            query = sa.select(photos.digest).where(left | unused)
            return tuple(connection.scalars(query.order_by(photos.created_at).limit(limit)))

    @briefly
    def give_up_photos(self, photos_digest: str) -> bool:
        """From now on no job can use the set; False where one does. Its objects may go, and then the row."""
        with self.database.transaction() as connection:
            # A job that is about to use it holds the row while it says so: what comes after the lock sees that.
            if self._lock_photos(connection, photos_digest) is None:
                return False
            if connection.execute(sa.select(_is_used(sa.literal(photos_digest)))).scalar_one():
                return False
            this = sa.update(tables.photo_set).where(tables.photo_set.c.digest == photos_digest)
            connection.execute(this.values(removing_since=self._now(connection)))
            return True

    @briefly
    def forget_photos(self, photos_digest: str) -> None:
        """Its objects are gone."""
        with self.database.transaction() as connection:
            photos = tables.photo_set.c
            going = photos.removing_since.is_not(None)
            connection.execute(sa.delete(tables.photo_set).where(photos.digest == photos_digest, going))

    @briefly
    def adopt_photos(self, photos_digest: str) -> None:
        """Take note of a set that was found in the object store and may be unknown here."""
        with self.database.transaction() as connection:
            self._note_photos(connection, photos_digest)

    @briefly
    def photos_of_no_job(self, digests: Collection[str]) -> frozenset[str]:
        """Those of `digests` that no job has."""
        return self._of_no_job(tables.job.c.photos_digest, digests)

    @briefly
    def ids_of_no_job(self, job_ids: Collection[str]) -> frozenset[str]:
        """Those of `job_ids` that are of none."""
        return self._of_no_job(tables.job.c.id, job_ids)

    def _of_no_job(self, column: sa.Column[str], values: Collection[str]) -> frozenset[str]:
        wanted = sorted(values)
        used: set[str] = set()
        with self.database.snapshot() as connection:
            for start in range(0, len(wanted), _AT_A_TIME):
                some = column.in_(wanted[start : start + _AT_A_TIME])
                used |= set(connection.scalars(sa.select(column).where(some).distinct()))
        return frozenset(wanted) - used

    def _note_photos(self, connection: sa.Connection, photos_digest: str) -> None:
        new = {"digest": photos_digest, "created_at": self._now(connection)}
        connection.execute(self.database.insert(tables.photo_set).values(new).on_conflict_do_nothing())

    def _lock_photos(self, connection: sa.Connection, photos_digest: str) -> Row | None:
        this = sa.select(tables.photo_set).where(tables.photo_set.c.digest == photos_digest)
        return connection.execute(this.with_for_update()).one_or_none()


def _is_used(photos_digest: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return sa.exists().where(tables.job.c.photos_digest == photos_digest, ~tables.job.c.removing)
