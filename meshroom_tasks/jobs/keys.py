"""API keys as the database keeps them: whose they are, what they allow, how long; of the key itself only a hash."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from meshroom_tasks.api_keys import SCOPES, NewKey, Scope, hash_of, new_key
from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.tenants import Tenants

_USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class ApiKey:
    id: str
    tenant: str
    label: str
    scopes: tuple[Scope, ...]
    hash: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Keys(Tenants):
    def create_key(
        self, tenant: str, scopes: Collection[Scope], *, label: str = "", lifetime: timedelta | None = None
    ) -> tuple[NewKey, ApiKey]:
        """A key for the tenant, which is made where it is new. The text of the key is nowhere else afterwards."""
        made = new_key()
        with self.database.transaction() as connection:
            now = self._now(connection)
            self._make_tenant(connection, tenant)
            row = connection.execute(
                sa.insert(tables.api_key)
                .values(
                    id=made.id,
                    tenant=tenant,
                    label=label,
                    scopes=[scope for scope in SCOPES if scope in scopes],
                    hash=hash_of(made.text),
                    created_at=now,
                    expires_at=now + lifetime if lifetime is not None else None,
                )
                .returning(tables.api_key)
            ).one()
        return made, _api_key(row)

    @briefly
    def find_key(self, key_id: str) -> ApiKey | None:
        with self.database.snapshot() as connection:
            row = connection.execute(sa.select(tables.api_key).where(tables.api_key.c.id == key_id)).one_or_none()
        return _api_key(row) if row is not None else None

    def api_keys(self, tenant: str | None = None) -> tuple[ApiKey, ...]:
        """Those of one tenant, or all; the oldest first."""
        query = sa.select(tables.api_key).order_by(tables.api_key.c.created_at, tables.api_key.c.id)
        if tenant is not None:
            query = query.where(tables.api_key.c.tenant == tenant)
        with self.database.snapshot() as connection:
            return tuple(_api_key(row) for row in connection.execute(query))

    def revoke_key(self, key_id: str) -> ApiKey:
        """From now on it is wrong. The first time counts. Raises NotFound."""
        key = tables.api_key
        with self.database.transaction() as connection:
            revoked_at = sa.func.coalesce(key.c.revoked_at, self._now(connection), type_=key.c.revoked_at.type)
            row = connection.execute(
                sa.update(key).where(key.c.id == key_id).values(revoked_at=revoked_at).returning(key)
            ).one_or_none()
        if row is None:
            raise NotFound(f"there is no key {key_id!r}; the list of keys has the ids")
        return _api_key(row)

    def note_use(self, key: ApiKey) -> None:
        """It was used just now; written at most once a minute."""
        with self.database.transaction() as connection:
            now = self._now(connection)
            last = tables.api_key.c.last_used_at
            connection.execute(
                sa.update(tables.api_key)
                .where(tables.api_key.c.id == key.id, last.is_(None) | (last <= now - _USE_NOTED_EVERY))
                .values(last_used_at=now)
            )

    @staticmethod
    def use_is_to_be_noted(key: ApiKey, now: datetime) -> bool:
        return key.last_used_at is None or key.last_used_at <= now - _USE_NOTED_EVERY


def _api_key(row: Row) -> ApiKey:
    return ApiKey(**{**row._asdict(), "scopes": tuple(row.scopes)})
