"""When jobs and their results expire, who is told before, and what may go.

A job that has ended expires when its request, or else the settings, say so; its results may expire before it. Nothing
goes before its client was told, where that was asked for, nor while a message of the job is still to be posted. Giving
up comes first: from then on nobody sees what goes. Its objects go next, and its rows last, so that whatever is
interrupted is found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from meshroom_tasks.errors import Conflict, NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row
from meshroom_tasks.jobs.events import Events
from meshroom_tasks.jobs.records import ExpiringPart
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.states import ENDED


class Retention(Events):
    @briefly
    def extend(self, job_id: str, span: timedelta, *, tenant: str | None = None) -> None:
        """Keep an ended job, and the results that it still has, for `span` from now; never shorter than before.

        Raises NotFound, also for a job of another than `tenant`, unless that is None; Conflict.
        """
        with self.database.transaction() as connection:
            job = self._lock_kept_job(connection, job_id, tenant)
            if job.status not in ENDED:
                raise Conflict(f"the job is {job.status}; it expires after its end", job_id=job_id)
            until = self._now(connection) + span
            later = {
                name: max(at, until)
                for name, at in (("expires_at", job.expires_at), ("results_expire_at", _results_expire_at(job)))
                if at is not None
            }
            self._update_job(connection, job_id, **later)

    def tell_expiring(self, limit: int) -> int:
        """Tell of what expires soon, each time once; returns of how many jobs. One round takes a limited number."""
        job = tables.job.c
        with self.database.snapshot() as connection:
            soon = self._now(connection) + self.expiry.notice
            due = [
                (at <= soon) & (job.expiry_told.is_(None) | (job.expiry_told < at))
                for at in (job.expires_at, job.results_expire_at)
            ]
            query = sa.select(job.id).where(job.status.in_(ENDED), ~job.removing, sa.or_(*due)).limit(limit)
            ids = connection.scalars(query).all()
        for job_id in ids:
            self._tell_expiring(job_id, soon)
        return len(ids)

    @briefly
    def _tell_expiring(self, job_id: str, soon: datetime) -> None:
        with self.database.transaction() as connection:
            job = connection.execute(sa.select(tables.job).where(tables.job.c.id == job_id).with_for_update()).first()
            if job is None or job.status not in ENDED:
                return
            told = job.expiry_told
            for part, at in _expiring(job):
                if at <= soon and (told is None or told < at):
                    self._tell(connection, job, "job.expiring", what=part, expires_at=at.isoformat())
            # Also what there is nothing to tell of, so that nobody looks at it again.
            due = [at for at in (told, job.expires_at, job.results_expire_at) if at is not None and at <= soon]
            self._update_job(connection, job_id, expiry_told=max(due, default=told))

    @briefly
    def expired_jobs(self, limit: int) -> tuple[str, ...]:
        """Ids of jobs that may be given up, and of those that were and are still there."""
        job = tables.job.c
        with self.database.snapshot() as connection:
            expired = self._has_expired(job.expires_at, self._now(connection))
            query = sa.select(job.id).where(job.removing | expired).order_by(job.expires_at).limit(limit)
            return tuple(connection.scalars(query))

    @briefly
    def give_up_job(self, job_id: str, *, tenant: str | None = None) -> None:
        """From now on there is no such job for anybody. Raises NotFound, Conflict for one that has not ended."""
        mine = tables.job.c.tenant == tenant if tenant is not None else sa.true()
        with self.database.transaction() as connection:
            query = sa.select(tables.job).where(tables.job.c.id == job_id, mine)
            job = connection.execute(query.with_for_update()).one_or_none()
            if job is None:
                raise NotFound("there is no such job", job_id=job_id)
            if job.status not in ENDED:
                raise Conflict(f"the job is {job.status}; cancel it before you delete it", job_id=job_id)
            self._update_job(connection, job_id, removing=True)

    @briefly
    def give_up_expired_job(self, job_id: str) -> bool:
        """The same where it has expired, or was given up before; False where it is needed again."""
        job = tables.job.c
        with self.database.transaction() as connection:
            locked = sa.select(job.id).where(job.id == job_id).with_for_update()
            if connection.execute(locked).first() is None:
                return False
            expired = self._has_expired(job.expires_at, self._now(connection))
            given_up = sa.update(tables.job).where(job.id == job_id, job.removing | expired).values(removing=True)
            return connection.execute(given_up).rowcount > 0

    @briefly
    def forget_job(self, job_id: str) -> str | None:
        """Its objects are gone: so are its rows now. Returns the digest of the photos that it had."""
        job = tables.job.c
        gone = sa.delete(tables.job).where(job.id == job_id, job.removing).returning(job.photos_digest)
        with self.database.transaction() as connection:
            return connection.execute(gone).scalar_one_or_none()

    @briefly
    def expired_results(self, limit: int) -> tuple[str, ...]:
        """Ids of jobs whose results may be given up, or were and are still there."""
        job = tables.job.c
        with self.database.snapshot() as connection:
            expired = self._has_expired(job.results_expire_at, self._now(connection)) & (job.results_bytes > 0)
            query = sa.select(job.id).where(job.results_going | expired, ~job.removing)
            return tuple(connection.scalars(query.order_by(job.results_expire_at).limit(limit)))

    @briefly
    def give_up_results(self, job_id: str) -> bool:
        """From now on the job has none, and until they are gone it cannot be requeued; False where they are to stay."""
        job = tables.job.c
        with self.database.transaction() as connection:
            locked = sa.select(job.id).where(job.id == job_id).with_for_update()
            if connection.execute(locked).first() is None:
                return False
            expired = self._has_expired(job.results_expire_at, self._now(connection))
            mine = sa.update(tables.job).where(job.id == job_id, job.results_going | expired)
            return connection.execute(mine.values(results=None, results_going=True)).rowcount > 0

    @briefly
    def forget_results(self, job_id: str) -> None:
        """They are gone."""
        with self.database.transaction() as connection:
            going = sa.update(tables.job).where(tables.job.c.id == job_id, tables.job.c.results_going)
            connection.execute(going.values(results_going=False, results_bytes=0))

    def _has_expired(self, at: sa.ColumnElement[datetime], now: datetime) -> sa.ColumnElement[bool]:
        """Of a job that has ended, whose client was told, and that has no message left to post."""
        job, delivery = tables.job.c, tables.delivery.c
        to_post = sa.exists().where(delivery.job_id == job.id, delivery.status == "pending")
        return (at <= now) & (job.expiry_told >= at) & job.status.in_(ENDED) & ~to_post


def _expiring(job: Row) -> Iterator[tuple[ExpiringPart, datetime]]:
    """What of it will go and when, in this order; with the job go its results."""
    results_at = _results_expire_at(job)
    if results_at is not None and (job.expires_at is None or results_at < job.expires_at):
        yield "results", results_at
    if job.expires_at is not None:
        yield "job", job.expires_at


def _results_expire_at(job: Row) -> datetime | None:
    """None where it has none any more, too."""
    return job.results_expire_at if job.results_bytes and not job.results_going else None
