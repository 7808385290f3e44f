"""Tenants: whose jobs they are, and what each may have at a time."""

from __future__ import annotations

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import StoreBase


class Tenants(StoreBase):
    def add_tenant(self, name: str) -> None:
        """Nothing happens when it is there."""
        with self.database.transaction() as connection:
            self._make_tenant(connection, name)

    def _make_tenant(self, connection: sa.Connection, name: str) -> None:
        tenant = tables.tenant
        if connection.execute(sa.select(tenant.c.name).where(tenant.c.name == name)).first() is not None:
            return
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(tenant).values(name=name, created_at=self._now(connection)))
        except sa.exc.IntegrityError:
            return  # Another was faster.
