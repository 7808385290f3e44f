"""Jobs, steps and idempotency keys belong to tenants"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(length=64), nullable=False, server_default="default")


def upgrade() -> None:
    op.add_column("job", _tenant())
    op.add_column("step", _tenant())
    op.create_index(op.f("ix_job_tenant_created_at_id"), "job", ["tenant", "created_at", "id"])
    with op.batch_alter_table("submission") as batch_op:
        batch_op.add_column(_tenant())
        batch_op.drop_constraint(op.f("pk_submission"), type_="primary")
        batch_op.create_primary_key(op.f("pk_submission"), ["tenant", "idempotency_key"])


def downgrade() -> None:
    # One key may name jobs of several tenants.
    op.execute("delete from submission where tenant != 'default'")
    with op.batch_alter_table("submission") as batch_op:
        batch_op.drop_constraint(op.f("pk_submission"), type_="primary")
        batch_op.create_primary_key(op.f("pk_submission"), ["idempotency_key"])
        batch_op.drop_column("tenant")
    op.drop_index(op.f("ix_job_tenant_created_at_id"), table_name="job")
    op.drop_column("step", "tenant")
    op.drop_column("job", "tenant")
