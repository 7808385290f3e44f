"""Uploads: which files a client has announced, until when they are kept, and which jobs need them.

Whether a file has arrived is not kept here: the object store knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound, UploadUnknown
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, new_token
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.states import ENDED
from meshroom_tasks.jobs.tenants import Tenants

_ZIP_TYPES = ("application/zip", "application/x-zip-compressed")


@dataclass(frozen=True)
class UploadFile:
    """What a client says of a file: `size` in bytes, `sha256` in hex."""

    name: str
    size: int
    sha256: str | None = None
    content_type: str | None = None

    @property
    def is_zip(self) -> bool:
        """Whether it is to be unpacked."""
        return self.name.lower().endswith(".zip") or self.content_type in _ZIP_TYPES


@dataclass(frozen=True)
class Upload:
    """An upload as its readers see it; file number n lies at `key(n)`."""

    id: str
    tenant: str
    created_at: datetime
    expires_at: datetime
    files: tuple[UploadFile, ...]

    @property
    def prefix(self) -> str:
        return f"uploads/{self.id}"

    def key(self, number: int) -> str:
        return f"{self.prefix}/{number:05d}"


class Uploads(Tenants):
    def create_upload(
        self, tenant: str, files: Sequence[UploadFile], keep: timedelta, *, expected_bytes: int = 0
    ) -> Upload:
        """Take note of an upload. `files` may be empty, and only their bytes expected, where they are told by
        `complete_upload`. Raises StorageLimit.
        """
        return self._create_upload(new_token(), tenant, files, keep, expected_bytes)

    @briefly
    def _create_upload(
        self, upload_id: str, tenant: str, files: Sequence[UploadFile], keep: timedelta, expected_bytes: int
    ) -> Upload:
        with self.database.transaction() as connection:
            if (found := self._find_upload(connection, upload_id)) is not None:
                return _upload(found)  # Recorded by an attempt whose acknowledgement was lost.
            self._admit_bytes(connection, tenant, max(expected_bytes, _bytes_of(files)))
            now = self._now(connection)
            row = {
                "id": upload_id,
                "tenant": tenant,
                "created_at": now,
                "expires_at": now + keep,
                "files": [asdict(file) for file in files],
            }
            connection.execute(sa.insert(tables.upload).values(row))
            return Upload(upload_id, tenant, now, now + keep, tuple(files))

    @briefly
    def complete_upload(self, upload: Upload, files: Sequence[UploadFile]) -> Upload:
        """Say what the files of an upload turned out to be. Raises NotFound, StorageLimit."""
        with self.database.transaction() as connection:
            if self._live_upload(connection, upload.id, upload.tenant).files != tuple(files):
                self._admit_bytes(connection, upload.tenant, _bytes_of(files))
            rows = sa.update(tables.upload).where(tables.upload.c.id == upload.id)
            connection.execute(rows.values(files=[asdict(file) for file in files]))
            return self._live_upload(connection, upload.id, upload.tenant)

    @briefly
    def extend_upload(self, upload_id: str, tenant: str, keep: timedelta) -> Upload:
        """Keep it for `keep` from now at least; never shorter than before. Raises NotFound."""
        with self.database.transaction() as connection:
            self._find_upload(connection, upload_id, lock=True)
            found = self._live_upload(connection, upload_id, tenant)
            until = max(found.expires_at, self._now(connection) + keep)
            connection.execute(sa.update(tables.upload).where(tables.upload.c.id == upload_id).values(expires_at=until))
            return replace(found, expires_at=until)

    @briefly
    def upload(self, upload_id: str, tenant: str) -> Upload:
        """Raises NotFound where there is none of this tenant's, or not any more."""
        with self.database.snapshot() as connection:
            return self._live_upload(connection, upload_id, tenant)

    @briefly
    def uploads_of(self, job_id: str) -> dict[str, Upload]:
        """Those that the job was submitted with, as long as they are kept."""
        used = sa.select(tables.job_upload.c.upload_id).where(tables.job_upload.c.job_id == job_id)
        query = sa.select(tables.upload).where(tables.upload.c.id.in_(used), ~tables.upload.c.removing)
        with self.database.snapshot() as connection:
            return {row.id: _upload(row) for row in connection.execute(query)}

    @briefly
    def expired_uploads(self, grace: timedelta, limit: int) -> tuple[str, ...]:
        """Ids of those that no live job needs, `grace` after they expired, and of those that were going already."""
        upload = tables.upload.c
        with self.database.snapshot() as connection:
            old = (upload.expires_at < self._now(connection) - grace) & ~_is_needed(upload.id)
            query = sa.select(upload.id).where(upload.removing | old).order_by(upload.expires_at).limit(limit)
            return tuple(connection.scalars(query))

    @briefly
    def give_up_upload(self, upload_id: str) -> bool:
        """From now on no job can name it; False where a live one needs it. Its objects may go, and then the row."""
        with self.database.transaction() as connection:
            # A submission holds the row while it writes that a job needs it: what comes after the lock sees that.
            if self._find_upload(connection, upload_id, lock=True) is None:
                return True
            if connection.execute(sa.select(_is_needed(sa.literal(upload_id)))).scalar_one():
                return False
            connection.execute(sa.update(tables.upload).where(tables.upload.c.id == upload_id).values(removing=True))
            return True

    @briefly
    def forget_upload(self, upload_id: str) -> None:
        """Its objects are gone."""
        with self.database.transaction() as connection:
            connection.execute(
                sa.delete(tables.upload).where(tables.upload.c.id == upload_id, tables.upload.c.removing)
            )

    def _use_uploads(self, connection: sa.Connection, job_id: str, tenant: str, upload_ids: Sequence[str]) -> None:
        """Write that a job needs these; they stay for as long as it lives. Raises UploadUnknown."""
        for upload_id in sorted(set(upload_ids)):
            found = self._find_upload(connection, upload_id, lock=True)
            if found is None or found.removing or found.tenant != tenant:
                raise UploadUnknown("the upload has expired; send the files again", upload_id=upload_id)
            connection.execute(sa.insert(tables.job_upload).values(job_id=job_id, upload_id=upload_id))

    def _live_upload(self, connection: sa.Connection, upload_id: str, tenant: str) -> Upload:
        found = self._find_upload(connection, upload_id)
        expired = found is None or found.removing or found.expires_at <= self._now(connection)
        if found is None or expired or found.tenant != tenant:
            raise NotFound("there is no such upload, or not any more", upload_id=upload_id)
        return _upload(found)

    def _find_upload(self, connection: sa.Connection, upload_id: str, *, lock: bool = False) -> Row | None:
        query = sa.select(tables.upload).where(tables.upload.c.id == upload_id)
        return connection.execute(query.with_for_update() if lock else query).one_or_none()


def _bytes_of(files: Sequence[UploadFile]) -> int:
    return sum(file.size for file in files)


def _is_needed(upload_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    used, job = tables.job_upload.c, tables.job.c
    return sa.exists().where(used.upload_id == upload_id, job.id == used.job_id, job.status.not_in(ENDED))


def _upload(row: Row) -> Upload:
    return Upload(row.id, row.tenant, row.created_at, row.expires_at, tuple(UploadFile(**file) for file in row.files))
