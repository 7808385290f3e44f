"""Recovery of steps whose stored results are lost"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("step", sa.Column("outdated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("step", sa.Column("recoveries", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("step", "recoveries")
    op.drop_column("step", "outdated")
