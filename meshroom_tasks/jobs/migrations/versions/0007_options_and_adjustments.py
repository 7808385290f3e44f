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
    # Not in a batch: on SQLite that makes the table anew, and the steps of the old one go with it.
    op.drop_column("job", "replan_requested")
    op.drop_column("job", "adjustments")
    op.drop_column("job", "options")
