"""What must hold when everything has ended, whatever happened before."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import psutil

from meshroom_tasks.engine import markers
from meshroom_tasks.handoff.verification import Verification
from meshroom_tasks.jobs.store import open_store
from meshroom_tasks.storage import open_storage
from tests.faults.chaos import audit
from tests.faults.chaos.audit import Move
from tests.faults.chaos.plans import FAILS_WITH
from tests.faults.chaos.world import World
from tests.scripted_engine import Run, overlapping

_SETTLE_SECONDS = 120.0
_LEFT_OVER = {"bundle_without_marker", "unknown_entry"}
"""By a worker that was killed before it wrote the marker, and before it told the job store of it."""


def every_job_has_ended_as_it_should(world: World) -> None:
    rows = world.query("select id, status, error->>'code', metadata->>'number' from job")
    status = {row[0]: (row[1], row[2]) for row in rows}
    assert world.customer.complaints == []
    assert set(status) == set(world.customer.jobs), "one row for each job that was answered with 202"
    assert Counter(row[3] for row in rows).most_common(1)[0][1] == 1, "a job was recorded twice"
    expected = {"completed": ("completed", None), "failed": ("failed", FAILS_WITH)}
    expected["cancelled"] = ("cancelled", "job_cancelled")
    wrong = {
        job_id: (plan, status[job_id])
        for job_id, plan in world.customer.jobs.items()
        if status[job_id] != expected[plan.ending]
    }
    assert not wrong, f"{wrong}\n{world.logs()}"


def each_chunk_was_finished_once(world: World, moves: list[Move]) -> None:
    """By the rows: no step moved as it must not, and those of a completed job moved to `done` once."""
    assert audit.objections(moves) == []
    done = Counter(move.step for move in moves if move.now == "done")
    completed = world.query(
        "select step.id, step.state from step join job on job.id = step.job_id where job.status = 'completed'"
    )
    assert completed
    assert {(state, done[step]) for step, state in completed} == {("done", 1)}
    left = world.query("select id, state, token from step where state in ('running', 'ready') or token is not null")
    assert left == []


def no_chunk_was_computed_twice_at_once(world: World, moves: list[Move]) -> None:
    """By the ledger, in which each run wrote who held its chunk's lock; and none twice without need."""
    runs = world.ledger()
    assert runs
    assert overlapping(runs) == []
    by_chunk = defaultdict(list)
    for run in runs:
        by_chunk[run.uid, run.chunk].append(run)
    for of_chunk in by_chunk.values():
        for earlier, later in pairwise(of_chunk):
            assert earlier.ended is None or earlier.ended <= later.started, (earlier, later)
    assert audit.unearned(moves, {_token(run): run.ended for run in runs if run.exit == 0 and run.ended}) == []
    address = {move.new_token: move.address for move in moves if move.now == "running"}
    lost = Counter(move.address for move in moves if move.is_retry or move.now == "cancelled")
    finished = Counter(address[_token(run)] for run in runs if run.exit == 0)
    needless = {key: count for key, count in finished.items() if count > 1 + lost[key]}
    assert not needless, "chunks were computed again whose first result nobody had lost"


def every_ending_was_told_once(world: World) -> None:
    """Each job has one delivery; all that was received of it carried its id, and it was received."""
    rows = world.query("select job.id, job.status, d.id, d.status from job left join delivery d on d.job_id = job.id")
    assert {row[3] for row in rows} == {"succeeded"}, rows
    assert Counter(row[0] for row in rows).most_common(1)[0][1] == 1, "a job ended twice"
    told = {"completed": "completed", "failed": "failed", "cancelled": "failed"}
    received = {(callback.webhook_id, callback.job_id, callback.status) for callback in world.receiver.taken}
    assert received == {(delivery, job, told[status]) for job, status, delivery, _ in rows}
    assert world.receiver.forged == 0


def no_failure_was_a_mystery(moves: list[Move]) -> None:
    """Every retry has a cause that the service knows by name."""
    assert "internal_error" not in {move.code for move in moves if move.was == "running" and move.now != "done"}


def workers_are_back(world: World) -> None:
    """All take tasks, and the broker has kept nothing that nobody takes."""
    children = [child for child in world.fleet.children if child.ready_file is not None]
    assert world.until(lambda: all(child.ready_file.exists() for child in children), _SETTLE_SECONDS), world.logs()  # type: ignore[union-attr]
    broker = world.servers.rabbitmq
    assert world.until(lambda: broker.consumers("cpu") == len(world.fleet.stage_workers), _SETTLE_SECONDS), world.logs()
    assert world.until(lambda: not broker.filled_queues(), _SETTLE_SECONDS), broker.filled_queues()


def no_engine_is_left(world: World) -> None:
    """Neither an engine nor its warden nor anything that it started, while the workers go on."""
    assert world.until(lambda: not _engines(world), _SETTLE_SECONDS), _engines(world)


def no_process_is_left(world: World) -> None:
    """After the service has been stopped."""
    assert _processes_of(world) == []


def workspaces_are_clean(world: World) -> None:
    """No folder and no lock of a run, on any machine that is still there."""
    assert world.until(lambda: not _run_folders(world), _SETTLE_SECONDS), _run_folders(world)


def no_bundle_is_left_half_done(world: World) -> None:
    """Each marker has its bundle, each finished chunk's result is that of the marker, and no upload is pending."""
    storage = open_storage(world.settings)
    keys = set(storage.list("cache"))
    named = {key: json.loads(storage.get_bytes(key))["bundle"] for key in keys if key.endswith(".json")}
    assert named
    assert set(named.values()) <= keys
    entries = world.query("select address, entry->>'bundle_key' from step where kind = 'chunk' and state = 'done'")
    assert {(address, bundle) for address, bundle in entries} <= {
        (key.removesuffix(".json"), bundle) for key, bundle in named.items()
    }
    storage.remove_abandoned(older_than_seconds=0)
    bucket = world.settings.storage.removeprefix("s3://").partition("/")[0]
    assert not world.servers.seaweedfs.client().list_multipart_uploads(Bucket=bucket).get("Uploads")


def a_repair_removes_what_is_left_over(world: World) -> None:
    """What a worker that was killed half-way through its storing has left is all that is wrong, and can be mended."""
    storage = open_storage(world.settings)
    verification = Verification(open_store(world.settings), storage, orphan_seconds=0)
    found = list(verification.verify(deep=False, repair=True))
    assert {finding.kind for finding in found} <= _LEFT_OVER, found
    assert _orphans(world) == []
    assert list(verification.verify(deep=True, repair=False)) == []


def _orphans(world: World) -> list[str]:
    """Bundles that no marker names."""
    storage = open_storage(world.settings)
    keys = set(storage.list("cache"))
    named = {json.loads(storage.get_bytes(key))["bundle"] for key in keys if key.endswith(".json")}
    return sorted(key for key in keys - named if not key.endswith(".json"))


def _token(run: Run) -> str:
    """A run's folder is named by the token of its claim."""
    return run.folder.rpartition("/")[2]


def _engines(world: World) -> list[str]:
    return _processes_of(world, mark=markers.RUN)


def _run_folders(world: World) -> list[Path]:
    return [path for workspace in world.fleet.workspaces for path in workspace.glob("*/*/runs/*")]


def _processes_of(world: World, mark: str = "") -> list[str]:
    """Living processes whose arguments or environment name the folder of this run, and that have the variable."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            arguments, environment = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        ours = any(str(world.folder) in word for word in (*arguments, *environment.values()))
        if ours and (not mark or mark in environment):
            found.append(f"{process.pid} {' '.join(arguments)[:300]}")
    return found
