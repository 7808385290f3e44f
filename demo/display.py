"""Each stage's progress in the terminal; a line for each finished stage where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_FINISHED = {"done", "failed", "cancelled"}


class StageDisplay:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._told: set[str] = set()
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> StageDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: dict[str, Any]) -> None:
        for stage in job["stages"]:
            name, state = stage["node_type"], stage["state"]
            if state == "blocked":
                continue
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(name, total=1.0)
            self._progress.update(self._bars[name], completed=stage["progress"])
            if state in _FINISHED:
                self._progress.stop_task(self._bars[name])
                if name not in self._told:
                    self._told.add(name)
                    if not self._console.is_terminal:
                        self._console.print(
                            f"{name:<22} {state:<10} {job['progress']:>4.0%} of the job", highlight=False
                        )
