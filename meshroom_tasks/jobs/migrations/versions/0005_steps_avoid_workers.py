"""Steps avoid workers that they failed on"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("step", sa.Column("avoid", sa.String(255)))
    op.add_column("step", sa.Column("avoid_until", sa.DateTime(timezone=True)))


def downgrade() -> None:
    with op.batch_alter_table("step") as batch_op:
        batch_op.drop_column("avoid_until")
        batch_op.drop_column("avoid")
