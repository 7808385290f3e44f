"""What the stage cache holds, and when it was last used"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cache_entry",
        sa.Column("address", sa.String(length=512), nullable=False),
        sa.Column("engine", sa.String(length=128), nullable=False),
        sa.Column("photos_digest", sa.String(length=64), nullable=False),
        sa.Column("node_type", sa.String(length=128), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("bundle_key", sa.String(length=600), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_cache_entry")),
    )
    op.create_index(op.f("ix_cache_entry_last_used_at"), "cache_entry", ["last_used_at"])
    op.create_index(op.f("ix_cache_entry_photos_digest"), "cache_entry", ["photos_digest"])
    op.create_index(op.f("ix_job_photos_digest"), "job", ["photos_digest"])


def downgrade() -> None:
    op.drop_index(op.f("ix_job_photos_digest"), table_name="job")
    op.drop_table("cache_entry")
