"""How far a job was when it was planned anew"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("progress_floor", sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("job", "progress_floor")
