"""Fair shares of the queues, and what tenants have in storage"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TURN = ("rank", "queued_at", "position", "chunk", "id")


def _index(name: str, condition: str, *columns: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "step", list(columns), sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    for name in ("photos_bytes", "results_bytes"):
        op.add_column("job", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_job_tenant_status"), "job", ["tenant", "status"])
    op.drop_index("ix_step_turn", table_name="step")
    _index("ix_step_turn", "state = 'ready'", "queue", "tenant", *_TURN)
    _index("ix_step_running", "state = 'running'", "tenant", "queue")
    _index("ix_step_last_turn", "started_at is not null", "queue", "tenant", "started_at")
    _measure()


def downgrade() -> None:
    op.drop_index("ix_step_last_turn", table_name="step")
    op.drop_index("ix_step_running", table_name="step")
    op.drop_index("ix_step_turn", table_name="step")
    _index("ix_step_turn", "state = 'ready'", "queue", *_TURN)
    op.drop_index(op.f("ix_job_tenant_status"), table_name="job")
    for name in ("results_bytes", "photos_bytes"):
        op.drop_column("job", name)


def _measure() -> None:
    """What the jobs that are there take."""
    job = sa.table("job", sa.column("id"), sa.column("photos", sa.JSON), sa.column("results", sa.JSON))
    sizes = sa.text("update job set photos_bytes = :photos, results_bytes = :results where id = :id")
    connection = op.get_bind()
    for row in connection.execute(sa.select(job)).all():
        photos, results = (sum(file["size"] for file in files or ()) for files in (row.photos, row.results))
        connection.execute(sizes, {"photos": photos, "results": results, "id": row.id})
