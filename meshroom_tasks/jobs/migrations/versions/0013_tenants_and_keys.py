"""Tenants and their API keys"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tenant",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False, server_default="1"),
        sa.Column("max_running_jobs", sa.Integer()),
        sa.Column("max_queued_jobs", sa.Integer()),
        sa.Column("max_images", sa.Integer()),
        sa.Column("max_job_bytes", sa.BigInteger()),
        sa.Column("max_storage_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenant")),
    )
    op.execute("insert into tenant (name, created_at) values ('default', current_timestamp)")
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.name"], name=op.f("fk_api_key_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
    )
    op.create_index(op.f("ix_api_key_tenant"), "api_key", ["tenant"])


def downgrade() -> None:
    op.drop_index(op.f("ix_api_key_tenant"), table_name="api_key")
    op.drop_table("api_key")
    op.drop_table("tenant")
