"""What the store keeps of the cost of steps, to foretell that of the next ones."""

from __future__ import annotations

from dataclasses import fields

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.experience import Experience, Sample, effort
from meshroom_tasks.jobs.records import Entry, Work

_SUMS = tuple(field.name for field in fields(Experience))


class Learning(StoreBase):
    def experience(self, engine: str, node_type: str) -> Experience | None:
        """What steps of a node type have cost with this engine; None when none was ever computed.

        The steps `ingest`, `plan` and `results` go by their own names and the engine "".
        """
        with self.database.snapshot() as connection:
            return self._experiences(connection, engine).get(node_type)

    def _experiences(self, connection: sa.Connection, engine: str) -> dict[str, Experience]:
        """All of an engine, and of the steps that need none."""
        query = sa.select(tables.experience).where(tables.experience.c.engine.in_(("", engine)))
        return {row.node_type: _experience(row) for row in connection.execute(query)}

    def _learn(self, connection: sa.Connection, work: Work, step: Row, entry: Entry | None = None) -> None:
        """Take the cost of a step that is done into account: last in its transaction, since all jobs share the row.

        `entry`: of a chunk; one that was cached teaches nothing.
        """
        if entry is not None and entry.cached:
            return
        usage = entry.usage if entry is not None else None
        photos = len(work.photos or work.image_urls)
        views = work.views or photos
        sample = Sample(
            effort=effort(work.node_type, views, photos),
            views=views,
            seconds=(step.finished_at - step.started_at).total_seconds(),
            cpu_seconds=usage.cpu_seconds if usage else 0.0,
            output_bytes=entry.unpacked_size if entry else 0,
            peak_bytes=usage.peak_bytes if usage else 0,
        )
        engine, node_type = (work.engine, work.node_type) if work.kind == "chunk" else ("", work.kind)
        table, key = tables.experience, {"engine": engine, "node_type": node_type}
        this = (table.c.engine == engine, table.c.node_type == node_type)
        locked = sa.select(table).where(*this).with_for_update()
        row = connection.execute(locked).one_or_none()
        if row is None:
            fresh = {name: getattr(Experience(), name) for name in _SUMS}
            connection.execute(self.database.insert(table).values(**key, **fresh).on_conflict_do_nothing())
            row = connection.execute(locked).one()
        known = _experience(row)
        connection.execute(sa.update(table).where(*this).values(vars(known.after(sample))))


def _experience(row: Row) -> Experience:
    return Experience(**{name: getattr(row, name) for name in _SUMS})
