"""Turns of steps: the queue in its order, in one index"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _index(name: str, state: str, *columns: str) -> None:
    where = sa.text(f"state = '{state}'")
    op.create_index(name, "step", list(columns), sqlite_where=where, postgresql_where=where)


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
    _index("ix_step_turn", "ready", "queue", "rank", "queued_at", "position", "chunk", "id")
    _index("ix_step_waiting_address", "ready", "address")
    _index("ix_step_lease", "running", "lease_until")
    op.drop_index("ix_step_state_lease_until", table_name="step")
    op.drop_index("ix_step_state_next_hint_at", table_name="step")


def downgrade() -> None:
    op.create_index("ix_step_state_next_hint_at", "step", ["state", "next_hint_at"])
    op.create_index("ix_step_state_lease_until", "step", ["state", "lease_until"])
    op.drop_index("ix_step_lease", table_name="step")
    op.drop_index("ix_step_waiting_address", table_name="step")
    op.drop_index("ix_step_turn", table_name="step")
    with op.batch_alter_table("step") as batch_op:
        batch_op.drop_column("position")
        batch_op.drop_column("queued_at")
        batch_op.drop_column("rank")
