"""docs/architecture.md against the code: its rooms, its states, and their picture."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from meshroom_tasks.errors import PhotosWithoutOverlap
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Timing
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.records import JobStatus, StepState
from meshroom_tasks.jobs.states import StepEvent, sources, target
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.settings import PROJECT
from tests.jobs.conftest import claim_kind, completed, migrated, new_job, run_to_plan

PAGE = (PROJECT / "docs" / "architecture.md").read_text()
PICTURE = ElementTree.parse(PROJECT / "docs" / "states.svg").getroot()

Move = tuple[str, str, str]
"""From, event, to."""


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def drawn(of: str) -> set[Move]:
    paths = [path.attrib for path in PICTURE.iter("{http://www.w3.org/2000/svg}path")]
    return {(one["data-from"], one["data-event"], one["data-to"]) for one in paths if one.get("data-of") == of}


def told(heading: str) -> set[Move]:
    found = set()
    for event, before, after, _ in rows_below(heading):
        (to,) = quoted(after)
        found |= {(source, event.strip("`").replace(" ", "_"), to) for source in quoted(before)}
    return found


def test_the_moves_of_a_step() -> None:
    known = {
        (state, str(event), target(event))
        for state, event in product(get_args(StepState), StepEvent)
        if state in sources(event)
    }
    assert told("what happens to a step") == known
    assert drawn("step") == known


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    migrated(url)
    store = JobStore(Database(url), timing=Timing(), base_url="http://svc")
    with store.database.transaction() as connection:
        connection.execute(sa.text("create table move (before text, after text)"))
        connection.execute(
            sa.text(
                "create trigger moves after update of status on job when old.status <> new.status "
                "begin insert into move values (old.status, new.status); end"
            )
        )
    yield store
    store.database.engine.dispose()


def failed(store: JobStore) -> str:
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    store.fail(work, PhotosWithoutOverlap("no"))
    return job_id


def cancelled(store: JobStore) -> str:
    job_id = run_to_plan(store)
    store.cancel(job_id)
    return job_id


def test_the_moves_of_a_job(store: JobStore) -> None:
    """The store is led through all of them, and the database writes down what it sees."""
    store.cancel(store.submit(new_job()))
    for end in (completed, failed, cancelled):
        job_id = end(store)
        store.requeue(job_id, from_stage="plan")
        store.cancel(job_id)
    with store.database.snapshot() as connection:
        seen = {(row.before, row.after) for row in connection.execute(sa.text("select * from move"))}
        states = set(connection.scalars(sa.select(tables.job.c.status)))
    assert states <= set(get_args(JobStatus))
    page = told("what happens to a job")
    assert {(before, after) for before, _, after in page} == seen
    assert drawn("job") == page


def test_the_floors_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    floors: list[set[str]] = []
    for floor, room, _ in rows_below("floor"):
        if floor:
            floors.append(set())
            assert floor == str(len(layers) - len(floors) + 1)
        floors[-1].update(quoted(room))
    assert floors == [{path_of(module) for module in layer.split(" : ")} for layer in layers]


def test_every_room_stands_on_the_page() -> None:
    named = {path for row in rows_below("floor") for path in quoted(row[1])}
    named |= {path for row in rows_below("room") for path in quoted(row[0])}
    rooms = {path_of(f"meshroom_tasks.{path.stem}") for path in (PROJECT / "meshroom_tasks").glob("[a-z]*")}
    assert named == rooms | {"web/", "demo/"}


def path_of(module: str) -> str:
    """`meshroom_tasks/jobs/` of a package, `meshroom_tasks/dispatch.py` of a module."""
    path = module.replace(".", "/")
    return f"{path}/" if (PROJECT / path).is_dir() else f"{path}.py"
