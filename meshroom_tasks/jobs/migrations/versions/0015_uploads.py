"""Uploads: files that a client sends before its job"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removing", sa.Boolean(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    op.create_index(op.f("ix_upload_expires_at"), "upload", ["expires_at"])
    op.create_table(
        "job_upload",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("upload_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_upload_job_id_job"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["upload.id"], name=op.f("fk_job_upload_upload_id_upload"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "upload_id", name=op.f("pk_job_upload")),
    )
    op.create_index(op.f("ix_job_upload_upload_id"), "job_upload", ["upload_id"])
    op.add_column("job", sa.Column("image_count", sa.Integer()))


def downgrade() -> None:
    op.drop_column("job", "image_count")
    op.drop_table("job_upload")
    op.drop_table("upload")
