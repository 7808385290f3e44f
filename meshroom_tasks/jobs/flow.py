"""What comes next in a job: ingest, plan, the stages as their inputs become complete, results."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.addresses import Address, address_block, lineage_of
from meshroom_tasks.jobs.base import Row, new_token
from meshroom_tasks.jobs.endings import Endings
from meshroom_tasks.jobs.queueing import turn
from meshroom_tasks.jobs.records import ReadItem, StepKind
from meshroom_tasks.jobs.states import stages_to_open

_FIXED_ORDER = ("ingest", "plan")
_AFTER_INGEST: tuple[StepKind, ...] = ("plan", "results")


class Flow(Endings):
    def _open_next(self, connection: sa.Connection, job: Row) -> None:
        """Open every blocked step whose predecessors are all done."""
        step = tables.step.c
        steps = connection.execute(sa.select(step.kind, step.stage, step.state).where(step.job_id == job.id)).all()
        unfinished = {row.kind for row in steps if row.state != "done"}
        if "ingest" not in unfinished and all(row.kind == "ingest" for row in steps):
            unfinished |= self._add_fixed_steps(connection, job)
        for fixed in _FIXED_ORDER:
            if fixed in unfinished:
                self._open_steps(connection, job, step.kind == fixed)
                return
        if "chunk" not in unfinished:
            self._open_steps(connection, job, step.kind == "results")
            return
        stages = self._stages(connection, job.id)
        for name in stages_to_open(
            {row.name: row.reads for row in stages},
            unfinished={row.stage for row in steps if row.kind == "chunk" and row.state != "done"},
            blocked={row.stage for row in steps if row.kind == "chunk" and row.state == "blocked"},
        ):
            stage = next(row for row in stages if row.name == name)
            self._give_addresses(connection, job, stage, self._reads_of(connection, job.id, stages, stage.reads))
            self._open_steps(connection, job, step.stage == name)

    def _add_fixed_steps(self, connection: sa.Connection, job: Row) -> set[str]:
        """Those that every job has after `ingest`; a submission, for which others wait, writes none but that."""
        for kind in _AFTER_INGEST:
            step = {"id": new_token(), "job_id": job.id, "kind": kind, "queue": "ingest", "state": "blocked"}
            connection.execute(sa.insert(tables.step), step | turn(job, kind))
        return set(_AFTER_INGEST)

    def _give_addresses(self, connection: sa.Connection, job: Row, stage: Row, reads: Sequence[ReadItem]) -> None:
        """Of its blocked chunks: one that still runs, though on other inputs, keeps that of what it computes."""
        lineage, block = lineage_of(reads), address_block(stage.chunk_count, stage.block_size)
        for chunk in range(stage.chunk_count):
            address = Address(job.engine, job.photos_digest, stage.node_type, stage.uid, chunk, lineage, block)
            connection.execute(
                sa.update(tables.step)
                .where(tables.step.c.job_id == job.id, tables.step.c.stage == stage.name, tables.step.c.chunk == chunk)
                .where(tables.step.c.state == "blocked")
                .values(address=address.key)
            )

    def _reads_of(
        self, connection: sa.Connection, job_id: str, stages: Sequence[Row], names: Collection[str]
    ) -> tuple[ReadItem, ...]:
        """The stored chunks of those of the job's `stages` that `names` names, in the order of the graph."""
        step = tables.step.c
        query = sa.select(step.stage, step.chunk, step.entry).where(step.job_id == job_id, step.stage.in_(names))
        steps = connection.execute(query.order_by(step.chunk)).all()
        return tuple(
            ReadItem(
                stage.node_type,
                stage.uid,
                row.chunk,
                row.entry["digest"],
                row.entry["bundle_key"],
                stage.name,
                row.entry["size"],
                row.entry.get("unpacked_size", 0),
            )
            for stage in stages
            if stage.name in names
            for row in steps
            if row.stage == stage.name
        )

    def _stages(self, connection: sa.Connection, job_id: str) -> list[Row]:
        query = sa.select(tables.stage).where(tables.stage.c.job_id == job_id).order_by(tables.stage.c.position)
        return list(connection.execute(query))
