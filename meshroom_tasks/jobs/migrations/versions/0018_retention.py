"""Jobs, results and photos that expire"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_MOMENTS = ("expires_at", "results_expire_at", "expiry_told")
_FLAGS = ("removing", "results_going")


def _index(name: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "job", [column], sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.add_column("job", sa.Column("expires_in", sa.Float()))
    for name in _MOMENTS:
        op.add_column("job", sa.Column(name, sa.DateTime(timezone=True)))
    for name in _FLAGS:
        op.add_column("job", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("expires_at", "results_expire_at"):
        _index(op.f(f"ix_job_{name}"), name, f"{name} is not null")
    _index("ix_job_going", "id", "removing or results_going")
    op.create_table(
        "photo_set",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removing_since", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_photo_set")),
    )
    op.execute(
        "insert into photo_set (digest, created_at) "
        "select photos_digest, min(created_at) from job where photos_digest is not null group by photos_digest"
    )


def downgrade() -> None:
    op.drop_table("photo_set")
    for name in ("ix_job_going", "ix_job_results_expire_at", "ix_job_expires_at"):
        op.drop_index(name, table_name="job")
    for name in (*_FLAGS, *_MOMENTS, "expires_in"):
        op.drop_column("job", name)
