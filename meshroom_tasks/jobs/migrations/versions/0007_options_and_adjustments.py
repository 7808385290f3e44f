"""Options of jobs, and adjustments after memory ran out"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("options", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("job", sa.Column("adjustments", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("job", sa.Column("replan_requested", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("job") as batch_op:
        batch_op.drop_column("replan_requested")
        batch_op.drop_column("adjustments")
        batch_op.drop_column("options")
