"""`jobs` and `job`."""

from __future__ import annotations

from meshroom_tasks.commands.reading import job, jobs
from meshroom_tasks.errors import PhotosWithoutOverlap
from tests.jobs.conftest import claim_kind, new_job, run_to_plan

from .conftest import Refusal, Shell


def test_jobs_are_listed_newest_first(shell: Shell) -> None:
    ids = [shell.store.submit(new_job(priority=number)) for number in range(3)]
    shell.store.cancel(ids[1])
    listed = shell.ask(jobs)
    assert [view["id"] for view in listed] == ids[::-1]
    assert [view["status"] for view in listed] == ["queued", "cancelled", "queued"]
    assert [view["id"] for view in shell.ask(jobs, "--status", "cancelled")] == [ids[1]]
    assert [view["id"] for view in shell.ask(jobs, "--limit", "2")] == ids[:0:-1]


def test_more_jobs_than_a_page_holds(shell: Shell) -> None:
    ids = {shell.store.submit(new_job()) for _ in range(60)}
    assert {view["id"] for view in shell.ask(jobs, "--limit", "100")} == ids


def test_people_get_a_table_with_whole_ids(shell: Shell) -> None:
    job_id = shell.store.submit(new_job())
    answer = shell.run(jobs).output
    assert job_id in answer
    assert "queued" in answer


def test_one_job_with_its_stages(shell: Shell) -> None:
    job_id = run_to_plan(shell.store)
    assert [stage["name"] for stage in shell.ask(job, job_id)["stages"]][:3] == ["ingest", "plan", "Init_1"]
    answer = shell.run(job, job_id).output
    assert job_id in answer
    assert "Left_1" in answer


def test_a_failed_job_says_why(shell: Shell) -> None:
    job_id = run_to_plan(shell.store)
    work = claim_kind(shell.store, "chunk")
    assert work is not None
    shell.store.fail(work, PhotosWithoutOverlap("the photos show different things", log_tail=("line [1]", "line 2")))
    answer = shell.run(job, job_id).output
    assert "error in Init_1: photos_do_not_overlap: the photos show different things" in answer
    assert "line [1]" in answer
    assert "photos_do_not_overlap" in shell.run(jobs).output


def test_an_unknown_job_is_refused(shell: Shell, refusal: Refusal) -> None:
    assert refusal(shell.run(job, "none")) == "there is no such job"


def test_a_status_that_is_none_is_a_usage_error(shell: Shell) -> None:
    assert shell.run(jobs, "--status", "lost").exit_code == 2
