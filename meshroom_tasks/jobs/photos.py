"""The photos of a job, for those who want to see them."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import StoreBase, belongs_to
from meshroom_tasks.jobs.records import Photo


@dataclass(frozen=True)
class PhotoSet:
    """`digest` names the set in the object store; `photos` are in the order of the request, without repeats and such
    as were skipped, each index being that in `urls` where every URL is one photo. Empty until they are ingested."""

    digest: str
    photos: tuple[Photo, ...]
    urls: tuple[str, ...]


class Photos(StoreBase):
    def photos(self, job_id: str, *, tenant: str | None = None) -> PhotoSet:
        """Raises NotFound, also for a job of another than `tenant`, unless that is None."""
        columns = (tables.job.c.photos_digest, tables.job.c.photos, tables.job.c.image_urls)
        query = sa.select(*columns).where(tables.job.c.id == job_id, belongs_to(tenant))
        with self.database.snapshot() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("there is no such job", job_id=job_id)
        return PhotoSet(
            row.photos_digest or "", tuple(Photo(**item) for item in row.photos or ()), tuple(row.image_urls)
        )
