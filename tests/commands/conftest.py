"""The commands over a real store (SQLite) and real local storage; only messages to workers go nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from meshroom_tasks.commands.base import Operator
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.settings import load_settings


@dataclass
class Shell:
    """Runs commands as an operator does. `announced` counts how often the outbox was flushed."""

    operator: Operator
    announced: list[None]

    @property
    def store(self) -> JobStore:
        return self.operator.store

    def run(self, command: click.Command, *arguments: str) -> Result:
        return CliRunner().invoke(command, arguments, obj=self.operator)

    def ask(self, command: click.Command, *arguments: str) -> Any:
        """What a command that succeeds answers with --json."""
        result = self.run(command, *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    announced: list[None] = []

    def send(_: JobStore) -> int:
        announced.append(None)
        return 0

    return Shell(Operator(load_settings(data_dir=tmp_path / "data"), send), announced)


Refusal = Callable[[Result], str]


@pytest.fixture
def refusal() -> Refusal:
    """The sentence of a command that refused, which it says on standard error only."""

    def sentence(result: Result) -> str:
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("Error: ")
        return result.stderr.removeprefix("Error: ").strip()

    return sentence
