"""Optional events of callbacks, and the endpoints that they go to"""

import sqlalchemy as sa
from alembic import op

from meshroom_tasks.egress import redact

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_PAGE = 1000


def upgrade() -> None:
    op.add_column("job", sa.Column("callback_events", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("delivery", sa.Column("event", sa.String(length=32), nullable=False, server_default="job.failed"))
    op.add_column("delivery", sa.Column("endpoint", sa.Text(), nullable=False, server_default=""))
    op.add_column("delivery", sa.Column("last_attempt_at", sa.DateTime(timezone=True)))
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "update delivery set last_attempt_at = "
            "(select max(at) from delivery_attempt where delivery_attempt.delivery_id = delivery.id)"
        )
    )
    # The status is the second member of the body; what comes after it is the client's.
    completed = (
        "update delivery set event = 'job.completed' where substr(body, 1, 80) like '%\"status\":\"completed\"%'"
    )
    connection.execute(sa.text(completed))
    _tell_endpoints(connection)
    op.create_index(op.f("ix_delivery_endpoint_status"), "delivery", ["endpoint", "status"])


def downgrade() -> None:
    op.drop_index(op.f("ix_delivery_endpoint_status"), table_name="delivery")
    for name in ("last_attempt_at", "endpoint", "event"):
        op.drop_column("delivery", name)
    op.drop_column("job", "callback_events")


def _tell_endpoints(connection: sa.Connection) -> None:
    urls = connection.execute(sa.text("select distinct url from delivery")).scalars().all()
    for start in range(0, len(urls), _PAGE):
        rows = [{"url": url, "endpoint": redact(url)} for url in urls[start : start + _PAGE]]
        connection.execute(sa.text("update delivery set endpoint = :endpoint where url = :url"), rows)
