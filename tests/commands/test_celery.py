"""The real `celery` program finds the commands, and so does `python -m meshroom_tasks`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest

from meshroom_tasks.jobs.store import open_store
from meshroom_tasks.settings import PROJECT, load_settings
from tests.jobs.conftest import new_job

PLUGINS: dict[str, str] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"][
    "celery.commands"
]
CELERY = (str(Path(sys.executable).with_name("celery")), "-A", "meshroom_tasks")
MODULE = (sys.executable, "-m", "meshroom_tasks")


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that sees the project as installed, with data of its own."""
    site = tmp_path / "site"
    about = site / "meshroom_tasks-0.dist-info"
    about.mkdir(parents=True)
    lines = [f"{name} = {place}" for name, place in PLUGINS.items()]
    (about / "entry_points.txt").write_text("\n".join(["[celery.commands]", *lines, ""]))
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: meshroom-tasks\nVersion: 0\n")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(PROJECT)]),
        "DATA_DIR": str(tmp_path / "data"),
        "COLUMNS": "200",
    }


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_every_entry_point_is_a_command_of_its_name_with_help(name: str) -> None:
    module, _, attribute = PLUGINS[name].partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help


def test_a_job_is_cancelled_from_the_shell(installed: dict[str, str], tmp_path: Path) -> None:
    job_id = open_store(load_settings(data_dir=tmp_path / "data")).submit(new_job())

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CELERY, *arguments], env=installed, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )

    assert json.loads(run("cancel", job_id, "--json").stdout) == {"changed": {job_id: "cancelled"}, "refused": {}}
    messages = [path.name for path in (tmp_path / "data" / "broker" / "messages").iterdir()]
    assert len(messages) == 2, "the hint for its first step and the one for its callback were sent"
    again = run("cancel", job_id)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"Error: {job_id}: the job is already cancelled; there is nothing to cancel\n"
    assert run("cancel").returncode == 2
    assert set(PLUGINS) <= {line.split()[0] for line in run("--help").stdout.splitlines() if line.strip()}
    letters = run("dead-letters")
    assert (letters.returncode, "embedded broker" in letters.stderr) == (1, True)


def test_the_module_has_the_clients_commands_and_all_of_those(installed: dict[str, str], tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MODULE, *arguments], env=installed, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )

    told = {line.split()[0] for line in run("--help").stdout.splitlines() if line.strip()}
    assert {*PLUGINS, "submit", "watch", "download", "reconstruct"} <= told
    assert "embedded broker" in run("dead-letters").stderr
    assert "set X_API_KEY" in run("jobs").stderr, "the client's, which asks over HTTP"
