"""Weights of steps, and how far each has come; experience by effort"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BY_VIEWS = ("weight", "views", "views_squared", "seconds", "seconds_by_views")
_BY_EFFORT = ("weight", "effort", "effort_squared", "views", "seconds", "seconds_by_effort")
_COSTS = ("cpu_seconds", "output_bytes", "peak_bytes")


def _experience(*sums: str) -> None:
    op.drop_table("experience")
    op.create_table(
        "experience",
        sa.Column("engine", sa.String(length=128), nullable=False),
        sa.Column("node_type", sa.String(length=128), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in (*sums, *_COSTS)),
        sa.PrimaryKeyConstraint("engine", "node_type", name=op.f("pk_experience")),
    )


def upgrade() -> None:
    _experience(*_BY_EFFORT)
    op.add_column("job", sa.Column("measured", sa.Float(), nullable=False, server_default="0"))
    op.add_column("step", sa.Column("weight", sa.Float(), nullable=False, server_default="1"))
    op.add_column("step", sa.Column("reached", sa.Float(), nullable=False, server_default="0"))
    op.execute("update step set reached = case when state = 'done' then 1 else progress end")
    op.execute(
        """
        update step set weight =
            (select stage.weight / stage.chunk_count from stage
             where stage.job_id = step.job_id and stage.name = step.stage)
        where kind = 'chunk'
        """
    )
    op.drop_column("stage", "weight")


def downgrade() -> None:
    op.add_column("stage", sa.Column("weight", sa.Float(), nullable=False, server_default="1"))
    op.drop_column("step", "reached")
    op.drop_column("step", "weight")
    op.drop_column("job", "measured")
    _experience(*_BY_VIEWS)
