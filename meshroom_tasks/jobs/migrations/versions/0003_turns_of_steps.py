"""Turns of steps: the queue in its order, in one index"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None

_READY = {"sqlite_where": sa.text("state = 'ready'"), "postgresql_where": sa.text("state = 'ready'")}


def upgrade() -> None:
    op.add_column("step", sa.Column("rank", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(
        "step", sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, server_default="2000-01-01 00:00:00")
    )
    op.add_column("step", sa.Column("position", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        """
        update step set
            rank = (select 9 - job.priority from job where job.id = step.job_id),
            queued_at = (select job.created_at from job where job.id = step.job_id),
            position = case kind
                when 'ingest' then 0
                when 'plan' then 1
                when 'results' then 1000000
                else (select 2 + stage.position from stage
                      where stage.job_id = step.job_id and stage.name = step.stage)
            end
        """
    )
    op.create_index("ix_step_turn", "step", ["queue", "rank", "queued_at", "position", "chunk"], **_READY)
    op.create_index("ix_step_waiting_address", "step", ["address"], **_READY)


def downgrade() -> None:
    op.drop_index("ix_step_waiting_address", table_name="step")
    op.drop_index("ix_step_turn", table_name="step")
    with op.batch_alter_table("step") as batch_op:
        batch_op.drop_column("position")
        batch_op.drop_column("queued_at")
        batch_op.drop_column("rank")
