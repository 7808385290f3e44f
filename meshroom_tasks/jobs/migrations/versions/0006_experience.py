"""Experience: what steps have cost, and the views of each chunk"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SUMS = (
    "weight",
    "views",
    "views_squared",
    "seconds",
    "seconds_by_views",
    "cpu_seconds",
    "output_bytes",
    "peak_bytes",
)


def upgrade() -> None:
    op.create_table(
        "experience",
        sa.Column("engine", sa.String(length=128), nullable=False),
        sa.Column("node_type", sa.String(length=128), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint("engine", "node_type", name=op.f("pk_experience")),
    )
    op.add_column("stage", sa.Column("block_size", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("stage", sa.Column("size", sa.Integer(), nullable=False, server_default="1"))


def downgrade() -> None:
    with op.batch_alter_table("stage") as batch_op:
        batch_op.drop_column("size")
        batch_op.drop_column("block_size")
    op.drop_table("experience")
