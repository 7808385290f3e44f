"""A name for the installation, which its object store is marked with"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "installation",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("is_older", sa.Boolean(), nullable=False),
        sa.Column("storage_is_anothers", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    had_jobs = op.get_bind().execute(sa.text("select 1 from job limit 1")).first() is not None
    op.bulk_insert(table, [{"id": uuid.uuid4().hex, "is_older": had_jobs, "storage_is_anothers": False}])


def downgrade() -> None:
    op.drop_table("installation")
