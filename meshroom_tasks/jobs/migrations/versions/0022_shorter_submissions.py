"""Shorter submissions: indexes without the rows that they are not asked for; steps after `ingest` are written later"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_job_photos_digest", "job", "photos_digest", "photos_digest is not null", None),
    ("ix_step_waiting_address", "step", "address", "state = 'ready' and address is not null", "state = 'ready'"),
)

_ADD_STEPS = sa.text(
    """
    insert into step (id, job_id, tenant, kind, chunk, queue, rank, queued_at, position, state, attempts, hints,
        refresh, weight, outdated, recoveries, progress, reached, cached)
    select cast(:mark as varchar) || substr(id, 2), job_id, tenant, cast(:kind as varchar), 0, queue, rank, queued_at,
        cast(:position as integer), case when state in ('failed', 'cancelled') then 'cancelled' else 'blocked' end,
        0, 0, refresh, 1, outdated, 0, 0, 0, cached
    from step where kind = 'ingest'
        and not exists (select 1 from step other where other.job_id = step.job_id and other.kind = :kind)
    """
)


def upgrade() -> None:
    for name, table, column, condition, _ in _INDEXES:
        _replace(name, table, column, condition)


def downgrade() -> None:
    for name, table, column, _, condition in _INDEXES:
        _replace(name, table, column, condition)
    # The code of before expects that every job has them.
    for kind, mark, position in (("plan", "p", 1), ("results", "r", 1_000_000)):
        op.execute(_ADD_STEPS.bindparams(kind=kind, mark=mark, position=position))


def _replace(name: str, table: str, column: str, condition: str | None) -> None:
    where = sa.text(condition) if condition else None
    op.drop_index(name, table_name=table)
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
