"""Steps wait for room on disks"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "disk_wait",
        sa.Column("step_id", sa.String(length=32), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("fk_disk_wait_step_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id", "worker", name=op.f("pk_disk_wait")),
    )


def downgrade() -> None:
    op.drop_table("disk_wait")
