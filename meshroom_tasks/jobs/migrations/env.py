"""Alembic's entry: migrations run on the engine that `Database` hands over."""

from typing import Any, Literal

from alembic import context

from meshroom_tasks.jobs.tables import UtcTime, metadata


def _render(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Migrations name plain types only: they must run whatever becomes of the classes of today."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcTime) else False


with context.config.attributes["engine"].execution_options(writes=True).begin() as connection:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("set local statement_timeout = 0")
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, render_item=_render)
    context.run_migrations()
