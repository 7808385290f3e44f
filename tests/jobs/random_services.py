"""A service in one thread, with random graphs, an engine that writes random bytes, and a store that loses bundles."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from meshroom_tasks.errors import StoredResultLost
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.addresses import Address, lineage_of
from meshroom_tasks.jobs.records import Entry, PlannedWork, ReadItem, Work
from meshroom_tasks.jobs.recovery import MOST_RECOVERIES
from meshroom_tasks.jobs.states import downstream_of
from meshroom_tasks.jobs.store import JobStore

from .conftest import DIGEST, PHOTOS, RESULTS, Clock, new_job, planned

Reads = frozenset[tuple[str, str, int, str]]
"""Node type, uid, chunk and digest of each bundle."""


@dataclass
class Bucket:
    """The stage cache: `markers` by address, and the digests of the `bundles` that are still there."""

    markers: dict[str, Entry] = field(default_factory=dict)
    bundles: dict[str, str] = field(default_factory=dict)

    def find(self, address: str) -> Entry | None:
        entry = self.markers.get(address)
        if entry is not None and entry.bundle_key not in self.bundles:
            del self.markers[address]
            return None
        return entry

    def put(self, ours: Entry) -> Entry:
        winner = self.find(ours.key)
        if winner is not None:
            return replace(winner, cached=False)
        self.markers[ours.key], self.bundles[ours.bundle_key] = ours, ours.digest
        return ours


@dataclass
class Holder:
    """A worker with a step; `computed` once it has fetched and computed."""

    work: Work
    address: str
    computed: Entry | None = None


class RandomService:
    """`losses`: how often bundles may still get lost. A `calm` one has a deterministic engine, and no worker dies."""

    def __init__(self, store: JobStore, clock: Clock, seed: int, *, losses: int = 0, calm: bool = False) -> None:
        self.store, self.clock, self.dice = store, clock, random.Random(seed)
        self.losses, self.calm = losses, calm
        self.bucket = Bucket()
        self.holders: list[Holder] = []
        self.made_from: dict[str, Reads] = {}
        self.runs: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._graphs: dict[str, tuple[PlannedWork, ...]] = {}

    def submit(self, graph: tuple[PlannedWork, ...]) -> str:
        job_id = self.store.submit(new_job())
        self._graphs[job_id] = graph
        return job_id

    def run(self, jobs: list[str]) -> None:
        """Until every job has ended."""
        for turn in range(20_000):
            self.step()
            if turn % 20 == 0 and not self.holders and all(self.store.job(job).finished_at for job in jobs):
                return
        raise AssertionError([self.store.job(job) for job in jobs])

    def step(self) -> None:
        dice = self.dice.random()
        if dice < 0.05 and self.losses:
            self._lose()
        elif dice < 0.08 and self.holders and not self.calm:
            self._crash(self.dice.choice(self.holders))
        elif dice < 0.4 or not self.holders:
            self._claim()
        else:
            self._go_on(self.dice.choice(self.holders))

    def _lose(self) -> None:
        kept = [key for key in self.bucket.bundles if self._lost[_chunk_of(key)] < MOST_RECOVERIES]
        for key in self.dice.sample(kept, min(len(kept), self.dice.choice((1, 1, 2, len(kept))))):
            del self.bucket.bundles[key]
            self._lost[_chunk_of(key)] += 1
        self.losses -= bool(kept)

    def _crash(self, holder: Holder) -> None:
        """Its lease runs out, while the others prolong theirs."""
        self.holders.remove(holder)
        self.clock.advance(20)
        for other in tuple(self.holders):
            self._beat(other)
        self.clock.advance(20)
        self.store.reclaim_expired()
        self.clock.advance(130)
        for other in tuple(self.holders):  # They were not really silent for so long.
            with self.store.database.transaction() as connection:
                held = sa.update(tables.step).where(tables.step.c.token == other.work.token)
                connection.execute(held.values(lease_until=self.clock() + self.store.timing.lease))

    def _claim(self) -> None:
        with self.store.database.snapshot() as connection:
            ready = connection.scalars(
                sa.select(tables.step.c.id).where(tables.step.c.state == "ready").order_by(tables.step.c.id)
            ).all()
        work = self.store.claim(self.dice.choice(ready), "w") if ready else None
        if work is None:
            return
        if work.kind == "ingest":
            self.store.finish_ingest(work, PHOTOS, DIGEST, ())
        elif work.kind == "plan":
            self.store.finish_plan(work, "engine-1", self._graphs[work.job_id])
        else:
            holder = Holder(work, _address(work))
            same = [other for other in self.holders if other.work.kind == "chunk" and other.address == holder.address]
            assert not same or work.kind == "results", "two holders of the same chunk"
            self.holders.append(holder)

    def _beat(self, holder: Holder) -> bool:
        """Whether it goes on."""
        reason = self.store.heartbeat(holder.work, 0.5)
        if reason is not None:
            self.holders.remove(holder)
            self.store.fail(holder.work, reason)
        return reason is None

    def _go_on(self, holder: Holder) -> None:
        if self.dice.random() < 0.5 and not self._beat(holder):
            return
        work = holder.work
        if holder.computed is not None:
            self.holders.remove(holder)
            self.store.finish_chunk(work, self.bucket.put(holder.computed))
            return
        entry = self.bucket.find(holder.address) if work.kind == "chunk" else None
        if entry is not None:
            self.holders.remove(holder)
            self.store.finish_chunk(work, replace(entry, cached=True))
            return
        gone = tuple(item.bundle_key for item in work.reads if item.bundle_key not in self.bucket.bundles)
        if gone:
            self.holders.remove(holder)
            told = gone if self.dice.random() < 0.5 else gone[:1]
            self.store.fail(work, StoredResultLost("gone", bundle_keys=told))
        elif work.kind == "results":
            self.holders.remove(holder)
            self.store.finish_results(work, RESULTS, {})
        else:
            holder.computed = self._compute(work, holder.address)

    def _compute(self, work: Work, address: str) -> Entry:
        noise = 0 if self.calm else self.dice.getrandbits(64)
        bundle_key = f"{address}-{self.dice.getrandbits(64)}"
        self.made_from[bundle_key] = read_by(work.reads)
        self.runs[f"{work.node_type}/{work.uid}/{work.chunk}"] += 1
        digest = hashlib.sha256(f"{address.rpartition('/')[0]}:{noise}".encode()).hexdigest()
        return Entry(address, bundle_key, digest, 1, None)

    def assert_consistent(self, job_id: str) -> None:
        """Every chunk of the job was computed from exactly what the job's rows name."""
        with self.store.database.snapshot() as connection:
            stages = connection.execute(sa.select(tables.stage).where(tables.stage.c.job_id == job_id)).all()
            steps = connection.execute(
                sa.select(tables.step).where(tables.step.c.job_id == job_id, tables.step.c.kind == "chunk")
            ).all()
        by_name = {stage.name: stage for stage in stages}
        for step in steps:
            named: Reads = frozenset(
                (by_name[other.stage].node_type, by_name[other.stage].uid, other.chunk, other.entry["digest"])
                for other in steps
                if other.stage in by_name[step.stage].reads
            )
            assert self.made_from[step.entry["bundle_key"]] == named, step.stage


def read_by(reads: tuple[ReadItem, ...]) -> Reads:
    return frozenset((item.node_type, item.uid, item.chunk, item.digest) for item in reads)


def random_graph(dice: random.Random) -> tuple[PlannedWork, ...]:
    stages: list[PlannedWork] = []
    for index in range(dice.randint(2, 6)):
        earlier = [stage.node_type for stage in stages]
        reads = dice.sample(earlier, min(len(earlier), dice.randint(1, 2)))
        stages.append(planned(f"N{index}", *reads, chunks=dice.randint(1, 3)))
    return tuple(stages)


def changed(graph: tuple[PlannedWork, ...], dice: random.Random) -> tuple[PlannedWork, ...]:
    """The graph with other settings in one stage: the uids of that one and of all that follow are others."""
    touched = downstream_of(dice.choice(graph).name, {stage.name: stage.reads for stage in graph})
    return tuple(replace(stage, uid=f"{stage.uid}-b") if stage.name in touched else stage for stage in graph)


def _address(work: Work) -> str:
    lineage = lineage_of(work.reads)
    return Address(work.engine, work.photos_digest, work.node_type, work.uid, work.chunk, lineage).key


def _chunk_of(bundle_key: str) -> str:
    return bundle_key.rpartition("/")[0]
