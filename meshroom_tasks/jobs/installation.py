"""The name of the installation whose jobs these are: made with the database, and copied with it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import StoreBase
from meshroom_tasks.jobs.retries import briefly

installation = sa.Table(
    "installation",
    tables.metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("is_older", sa.Boolean, nullable=False),
    sa.Column("storage_is_anothers", sa.Boolean, nullable=False),
)


@dataclass(frozen=True)
class Installation:
    """`is_older`: it had jobs before there were names, so that its object store may bear none yet.
    `storage_is_anothers`: what was found out last.
    """

    id: str
    is_older: bool
    storage_is_anothers: bool


class Installations(StoreBase):
    @briefly
    def installation(self) -> Installation:
        with self.database.snapshot() as connection:
            return Installation(**connection.execute(sa.select(installation)).one()._mapping)

    @briefly
    def note_storage(self, *, is_anothers: bool) -> None:
        """Remember whether the object store was found to be another installation's, for those who watch."""
        with self.database.transaction() as connection:
            connection.execute(sa.update(installation).values(storage_is_anothers=is_anothers))
