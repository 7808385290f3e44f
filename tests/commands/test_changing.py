"""`requeue`, `cancel`, `purge-jobs`, `sweep`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from meshroom_tasks.commands.changing import cancel, purge_jobs, requeue
from meshroom_tasks.commands.upkeep import sweep_once
from meshroom_tasks.errors import PhotosWithoutOverlap
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.store import JobStore
from tests.jobs.conftest import claim_kind, completed, new_job, run_chunks

from .conftest import Refusal, Shell


def failed(store: JobStore) -> str:
    job_id = store.submit(new_job())
    work = claim_kind(store, "ingest")
    assert work is not None
    store.fail(work, PhotosWithoutOverlap("no"))
    return job_id


def ended_ago(store: JobStore, job_id: str, ago: timedelta) -> None:
    with store.database.transaction() as connection:
        connection.execute(
            sa.update(tables.job).where(tables.job.c.id == job_id).values(finished_at=datetime.now(UTC) - ago)
        )


def states(store: JobStore, job_id: str) -> dict[str, str]:
    return {stage.name: stage.state for stage in store.job(job_id).stages}


def test_requeue_keeps_every_chunk_before_the_stage(shell: Shell) -> None:
    job_id = completed(shell.store)
    assert shell.ask(requeue, job_id, "--from-stage", "Right") == {"changed": {job_id: "queued"}, "refused": {}}
    after = states(shell.store, job_id)
    assert {name for name, state in after.items() if state == "done"} == {"ingest", "plan", "Init_1", "Left_1"}
    assert (after["Right_1"], after["Join_1"], after["results"]) == ("ready", "blocked", "blocked")
    assert shell.announced, "workers are told"
    assert run_chunks(shell.store) == ["Right_1/0", "Join_1/0"]


def test_all_failed_jobs_are_requeued_and_no_others(shell: Shell) -> None:
    done, first, second = completed(shell.store), failed(shell.store), failed(shell.store)
    assert set(shell.ask(requeue, "--all-failed")["changed"]) == {first, second}
    assert shell.store.job(done).status == "completed"
    assert shell.ask(requeue, "--all-failed") == {"changed": {}, "refused": {}}


def test_what_cannot_be_requeued_does_not_hinder_the_others(shell: Shell, refusal: Refusal) -> None:
    job_id, waiting = failed(shell.store), shell.store.submit(new_job())
    sentence = refusal(shell.run(requeue, waiting, job_id))
    assert sentence == f"{waiting}: the job is queued; cancel it first, or wait for its end"
    assert shell.store.job(job_id).status == "queued"


def test_an_unknown_stage_is_refused_with_those_there_are(shell: Shell, refusal: Refusal) -> None:
    assert "it has Init, Left, Right, Join" in refusal(shell.run(requeue, completed(shell.store), "--from-stage", "X"))


@pytest.mark.parametrize("arguments", [(), ("an-id", "--all-failed"), ("--no-such-option",)])
def test_requeue_wants_either_jobs_or_all_failed(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.run(requeue, *arguments).exit_code == 2


def test_cancel(shell: Shell, refusal: Refusal) -> None:
    job_id = shell.store.submit(new_job())
    assert shell.ask(cancel, job_id) == {"changed": {job_id: "cancelled"}, "refused": {}}
    assert shell.announced, "the callback is due"
    assert "already cancelled" in refusal(shell.run(cancel, job_id))


def test_purge_takes_the_files_with_the_rows(shell: Shell) -> None:
    gone, kept = completed(shell.store), shell.store.submit(new_job())
    storage = shell.operator.storage
    for key in (f"results/{gone}/model.glb", f"jobs/{gone}/graph.mg", f"results/{kept}/model.glb", "cache/x"):
        storage.put_bytes(key, b"x")
    assert shell.ask(purge_jobs, "--status", "completed", "--dry-run") == {"dry_run": True, "jobs": [gone]}
    assert storage.stat(f"results/{gone}/model.glb") is not None
    assert shell.ask(purge_jobs, "--status", "completed") == {"dry_run": False, "jobs": [gone]}
    assert list(storage.list()) == ["cache/x", f"results/{kept}/model.glb"]
    assert [view.id for view in shell.operator.jobs()] == [kept]


def test_purge_by_age_and_status(shell: Shell) -> None:
    old, young, other = (failed(shell.store) for _ in range(3))
    ended_ago(shell.store, old, timedelta(days=8))
    ended_ago(shell.store, young, timedelta(days=6))
    shell.store.requeue(other)
    shell.store.cancel(other)
    ended_ago(shell.store, other, timedelta(days=9))
    assert shell.ask(purge_jobs, "--older-than", "1w", "--status", "failed", "--dry-run")["jobs"] == [old]
    assert shell.run(purge_jobs, "--older-than", "1w").output.endswith("2 gone\n")
    assert [view.id for view in shell.operator.jobs()] == [young]


def test_purge_never_takes_a_job_that_has_not_ended(shell: Shell) -> None:
    job_id = failed(shell.store)
    shell.store.requeue(job_id)
    assert shell.ask(purge_jobs, "--older-than", "0s")["jobs"] == []
    assert shell.run(purge_jobs, "--status", "queued").exit_code == 2
    assert shell.run(purge_jobs).exit_code == 2, "nothing goes unless it was said what"


def test_one_round_of_the_sweeper(shell: Shell) -> None:
    assert shell.ask(sweep_once) == {"reclaimed": 0, "renewed": 0, "sent": 0}
