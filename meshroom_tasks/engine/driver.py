"""Driving an engine: planning a graph and computing its chunks with the two commands of Meshroom.

Nothing here knows which engine it is. The cache folder is `MeshroomCache` beside the graph; the program that does the
work writes its output to the node's `log` (`<i>.log` for a numbered chunk), and the outcome stands in the `status` file
next to it: an exit code of 0 alone is no success.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from meshroom_tasks.engine import block_sizes as block_sizes_of
from meshroom_tasks.engine import cameras, failures, identity
from meshroom_tasks.engine.environment import engine_environment
from meshroom_tasks.engine.log import Tail
from meshroom_tasks.engine.overrides import by_node
from meshroom_tasks.engine.process import Outcome, Watch, run
from meshroom_tasks.engine.progress import Meter
from meshroom_tasks.engine.status import read_status
from meshroom_tasks.errors import EngineError, GraphInvalid, HandoffIncomplete, ServiceError
from meshroom_tasks.graph import PlannedGraph, parse_planned, parse_template
from meshroom_tasks.jobs.records import NO_CAMERA, Camera, Usage
from meshroom_tasks.releases import names_release, release_of

GRAPH = "p.mg"
CACHE = "MeshroomCache"
VERSION_SECONDS = 20.0
_KEPT_LINES = 2000
_KEPT_TELLING = 200
_KEPT_HASHES = 200_000

_identities: dict[Hashable, str] = {}
"""What was found out of engines so far: the processes of a worker's pool have it from the worker's preflight."""


class Engine:
    """An engine, given by its two commands.

    `version` overrides what it says of itself; `environment` is added to what its processes inherit;
    `threads` is how many each may use (0: its own default).
    """

    def __init__(
        self,
        batch: Sequence[str],
        compute: Sequence[str],
        *,
        version: str = "",
        environment: Mapping[str, str] | None = None,
        threads: int = 0,
    ) -> None:
        self._batch = tuple(batch)
        self._compute = tuple(compute)
        self._version = version
        self._added = dict(environment or {})
        self._threads = threads

    def identity(self) -> str:
        """A folder-safe name with the version, as `cpu-engine-0.1.0`: as set, else as the engine says, else by content.

        Asked once, and by no process whose parent has asked. Raises EngineNotFound.
        """
        asked = (self._batch, self._version, *sorted(self._added.items()))
        if asked not in _identities:
            identity.executable(self._batch)
            _identities[asked] = (
                (identity.folder_safe(self._version) if self._version else None)
                or identity.from_version(self._said_version())
                or identity.from_release(self._saved_release())
                or identity.from_content(self._batch)
            )
        return _identities[asked]

    def release(self) -> str:
        """What says which release of Meshroom the engine speaks (see releases.py)."""
        identity = self.identity()
        return self._saved_release() if self._version and not names_release(identity) else identity

    def plan(
        self,
        *,
        photos: Path,
        template: Path,
        folder: Path,
        overrides: Mapping[str, Mapping[str, Any]],
        watch: Watch,
        time_limit: float,
        block_sizes: Mapping[str, int] | None = None,
        camera: Camera = NO_CAMERA,
    ) -> PlannedGraph:
        """Plan a graph for all photos of a folder; it is left in `folder/p.mg`.

        `overrides`: settings by node name or node type. `block_sizes`: how many views a chunk holds at most, by node
        type; where it says nothing, the engine decides. `camera`: what the photos do not tell of it. Raises
        SettingInvalid for settings that the engine refuses, the watch's reason to stop, EngineTimeout and other
        EngineErrors.
        """
        identity.executable(self._batch)
        prepared = cameras.prepare(
            photos, template, folder, by_node(parse_template(template.read_text()), overrides), camera
        )
        command = [*self._batch, "--input", str(photos), "--pipeline", str(prepared.template)]
        command += ["--save", str(folder / GRAPH), "--compute", "no"]
        if prepared.overrides:
            (folder / "overrides.json").write_text(json.dumps(prepared.overrides))
            command += ["--overrides", str(folder / "overrides.json")]
        journal = _Journal("planning", watch, output=folder / "plan.out")
        sizes = block_sizes or {}
        outcome = self._run(command, "planning", folder, watch, time_limit, journal, sizes, prepared.environment)
        if outcome.exit_code != 0:
            raise journal.failure("planning", outcome)
        try:
            block_sizes_of.note(folder / GRAPH, sizes)
            return parse_planned((folder / GRAPH).read_text())
        except (OSError, ValueError, GraphInvalid) as error:
            raise EngineError(f"planning left no readable graph: {error}", log_tail=journal.tail()) from error

    def compute(
        self,
        *,
        folder: Path,
        stage: str,
        node_type: str,
        uid: str,
        chunk: int | None,
        watch: Watch,
        time_limit: float,
    ) -> Usage:
        """Compute a chunk of the graph `folder/p.mg`: `stage` is the node's name, `chunk` None where it is not chunked.

        Its files are in `folder/MeshroomCache/<node_type>/<uid>/` afterwards. When this returns or raises, no process
        is left. Raises the watch's reason to stop, EngineTimeout, or what the failure means (see failures.py).
        """
        identity.executable(self._compute)
        results = folder / CACHE / node_type / uid
        prefix = "" if chunk is None else f"{chunk}."
        try:
            graph = parse_planned((folder / GRAPH).read_text())
            views = graph.stage(stage).view_count(chunk)
            sizes = block_sizes_of.noted(folder / GRAPH)
        except (OSError, KeyError) as error:
            raise HandoffIncomplete(f"the graph of {stage} is not in its folder; it is tried again") from error
        command = [*self._compute, str(folder / GRAPH), "--node", stage]
        command += [] if chunk is None else ["--iteration", str(chunk)]
        command += release_of(graph.release).compute_options
        journal = _Journal(
            node_type,
            watch,
            output=folder / f"{stage}.{prefix}out",
            log=results / f"{prefix}log",
            meter=Meter(node_type, views),
        )
        outcome = self._run(command, stage, folder, watch, time_limit, journal, sizes)
        status = read_status(results / f"{prefix}status")
        if outcome.exit_code != 0 or status is None or status.state != "SUCCESS":
            state, code = (status.state, status.return_code) if status else (None, None)
            raise journal.failure(node_type, outcome, code, state)
        return outcome.usage

    def _run(
        self,
        command: list[str],
        name: str,
        folder: Path,
        watch: Watch,
        time_limit: float,
        journal: _Journal,
        block_sizes: Mapping[str, int] = MappingProxyType({}),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Outcome:
        added = {**self._added, **block_sizes_of.environment(block_sizes, os.environ), **environment}
        try:
            outcome = run(
                command,
                name=name,
                folder=folder,
                output=journal.output,
                environment=engine_environment(os.environ, added, self._threads),
                watch=watch,
                time_limit=time_limit,
                tick=journal.read,
            )
        except ServiceError as error:
            journal.finish()
            error.log_tail = error.log_tail or journal.tail()
            raise
        journal.finish()
        return outcome

    def _said_version(self) -> str:
        """What the planning command prints when it is asked for its version; "" when it does not know."""
        with tempfile.TemporaryDirectory(prefix="engine-version-") as folder:
            journal = _Journal("version", _NoWatch(), output=Path(folder) / "version.out")
            command = [*self._batch, "--version"]
            try:
                outcome = self._run(command, "version", Path(folder), _NoWatch(), VERSION_SECONDS, journal)
            except EngineError:
                return ""
            return "\n".join(journal.tail()) if outcome.exit_code == 0 else ""

    def _saved_release(self) -> str:
        """The release in a graph that the planning command saves, here of no nodes; "" when it saves none.

        Meshroom knows no `--version`. The name before the colon stands for a node: there is none to take photos.
        """
        with tempfile.TemporaryDirectory(prefix="engine-release-") as name:
            folder = Path(name)
            (folder / "empty.mg").write_text(json.dumps({"header": {"template": True}, "graph": {}}))
            command = [*self._batch, "--input", f"none:{folder}", "--pipeline", str(folder / "empty.mg")]
            command += ["--save", str(folder / GRAPH), "--compute", "no"]
            journal = _Journal("release", _NoWatch(), output=folder / "release.out")
            try:
                self._run(command, "release", folder, _NoWatch(), VERSION_SECONDS, journal)
                return str(json.loads((folder / GRAPH).read_text())["header"]["releaseVersion"])
            except (EngineError, OSError, ValueError, KeyError, TypeError):
                return ""


class _Journal:
    """What a run says: the log of its node and the output of its command, passed on line by line and kept in part.

    When a stage fails, Meshroom repeats the node's whole log in its own output: lines already seen are not passed on
    a second time.
    """

    def __init__(
        self, node_type: str, watch: Watch, *, output: Path, log: Path | None = None, meter: Meter | None = None
    ) -> None:
        self.output = output
        self._watch = watch
        self._meter = meter or Meter(node_type, 1)
        self._folder = log.parent if log else None
        self._log = Tail(log) if log else None
        self._output = Tail(output)
        self._logged: deque[str] = deque(maxlen=_KEPT_LINES)
        self._printed: deque[str] = deque(maxlen=_KEPT_LINES)
        self._telling: deque[str] = deque(maxlen=_KEPT_TELLING)
        self._seen: set[int] = set()

    def read(self) -> None:
        """Take in what is new."""
        self._take(self._log.lines() if self._log else [], self._output.lines())

    def finish(self) -> None:
        """Take in the rest."""
        self._take(self._log.finish() if self._log else [], self._output.finish())

    def tail(self) -> tuple[str, ...]:
        return tuple(self._lines()[-failures.TAIL_LINES :])

    def failure(
        self, stage: str, outcome: Outcome, return_code: int | None = None, state: str | None = None
    ) -> ServiceError:
        lines = [*self._telling, *self._lines()]
        error = failures.classify(
            stage, lines, outcome.exit_code, return_code, state, memory_short=outcome.memory_short
        )
        error.log_tail = self.tail()
        return error

    def _lines(self) -> list[str]:
        """The node's log where there is one, since that is where the work is told of; else the command's output."""
        return [line for line in (self._logged or self._printed) if line.strip()]

    def _take(self, logged: list[str], printed: list[str]) -> None:
        before = self._meter.fraction
        self._logged.extend(logged)
        if len(self._seen) < _KEPT_HASHES:
            self._seen.update(map(hash, logged))
        unseen = [line for line in printed if hash(line) not in self._seen]
        self._printed.extend(unseen)
        for line in (*logged, *unseen):
            if failures.is_telling(line):
                self._telling.append(line)
            self._meter.line(line)
            self._watch.line(line)
        if self._meter.counts_files and self._folder is not None:
            with contextlib.suppress(OSError):
                self._meter.files(path.name for path in self._folder.iterdir())
        if self._meter.fraction > before:
            self._watch.progress(self._meter.fraction)


class _NoWatch:
    """For a question to the engine that belongs to no job."""

    def stop_reason(self) -> ServiceError | None:
        return None

    def lease_seconds_left(self) -> float:
        return float("inf")

    def line(self, text: str) -> None:
        pass

    def progress(self, fraction: float) -> None:
        pass
