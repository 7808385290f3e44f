"""Indexes that hold all that a list of jobs asks of them"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_JOB, _STEP = ("queue", "tenant", "rank", "queued_at"), ("position", "chunk", "id")


def _make_turn(*columns: str) -> None:
    where = sa.text("state = 'ready'")
    op.drop_index("ix_step_turn", table_name="step")
    op.create_index("ix_step_turn", "step", list(columns), sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.drop_index(op.f("ix_job_tenant_status"), table_name="job")
    op.create_index(op.f("ix_job_tenant_status_created_at_id"), "job", ["tenant", "status", "created_at", "id"])
    _make_turn(*_JOB, "job_id", *_STEP)


def downgrade() -> None:
    _make_turn(*_JOB, *_STEP)
    op.drop_index(op.f("ix_job_tenant_status_created_at_id"), table_name="job")
    op.create_index(op.f("ix_job_tenant_status"), "job", ["tenant", "status"])
