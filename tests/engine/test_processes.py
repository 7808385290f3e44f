"""Whatever dies, freezes or refuses to end: afterwards no process of the engine is left. All processes are real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from meshroom_tasks import errors
from meshroom_tasks.engine import kill_leftovers, markers
from meshroom_tasks.engine.wardens import Warden
from meshroom_tasks.graph import PlannedGraph
from meshroom_tasks.stops import JobCancelled, LeaseLost
from tests.engine.conftest import Project, marked
from tests.scripted_engine import commands
from tests.waiting import LONG, eventually, freeze
from tests.wardens import wardens_in

STAGE = "CameraInit_1"
STUBBORN = {"hang": True, "ignore_sigterm": True, "children": ["plain", "session", "daemon"]}
TREE = 6
"""The warden, the command, its binary and the three children."""


def started(project: Project, rule: dict[str, Any]) -> PlannedGraph:
    graph = project.plan()
    project.script = {"stages": [rule]}
    return graph


@contextmanager
def in_background(work: Callable[[], Any]) -> Iterator[list[BaseException]]:
    """Run in a thread; the list holds the error that it ended with, once the block is left."""
    raised: list[BaseException] = []

    def target() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield raised
    finally:
        thread.join(LONG)
    assert not thread.is_alive()


def tree(project: Project, count: int) -> list[psutil.Process]:
    """The engine's processes, once there are so many; the warden first."""
    eventually(lambda: len(project.processes()) + 1 >= count and sleepers(project) == 3)
    return [*wardens_in(project.root), *map(psutil.Process, project.processes())]


def sleepers(project: Project) -> int:
    """How many of the engine's three children are there; until then others come and go that start them."""
    lines = [command_line(pid) for pid in project.processes()]
    return sum(b"time.sleep" in line for line in lines)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def command_of(processes: list[psutil.Process]) -> psutil.Process:
    """The one that the warden started."""
    return next(process for process in processes[1:] if process.ppid() == processes[0].pid)


# The driver lives


@pytest.mark.parametrize(
    "rule", [{"hang": True}, STUBBORN, {**STUBBORN, "own_session": True}], ids=["mild", "stubborn", "2025"]
)
def test_time_limit(project: Project, rule: dict[str, Any]) -> None:
    graph = started(project, rule)
    with pytest.raises(errors.EngineTimeout, match=r"CameraInit_1 was stopped at its time limit of 0.5 s"):
        project.compute(graph, STAGE, time_limit=0.5)
    assert project.processes() == []


def test_stop_requested(project: Project) -> None:
    graph = started(project, {**STUBBORN, "lines": ["working"]})
    project.watch.stop = lambda: JobCancelled("cancelled") if "working" in project.watch.lines else None
    with pytest.raises(JobCancelled) as failure:
        project.compute(graph, STAGE)
    assert "working" in failure.value.log_tail
    assert project.processes() == []


def test_what_a_finished_command_leaves_behind_is_killed(project: Project) -> None:
    graph = started(project, {"children": ["plain", "session", "daemon"], "ignore_sigterm": True})
    project.compute(graph, STAGE)
    assert project.processes() == []


def test_a_tree_that_grows_while_it_is_killed(project: Project, tmp_path: Path) -> None:
    """A program that answers SIGTERM with another session of itself, five times over."""
    program = tmp_path / "hydra.py"
    program.write_text(
        "import os, signal, sys, time\n"
        "def grow(*_):\n"
        "    if os.fork() == 0: os.setsid(); os.execv(sys.executable, [sys.executable, '-S', __file__, str(n - 1)])\n"
        "n = int(sys.argv[1])\n"
        "signal.signal(signal.SIGTERM, grow if n else signal.SIG_IGN)\n"
        "time.sleep(3600)\n"
    )
    from meshroom_tasks.engine.process import run

    with pytest.raises(errors.EngineTimeout):
        run(
            (sys.executable, "-S", str(program), "5"),
            name="hydra",
            folder=tmp_path,
            output=tmp_path / "out",
            environment={"TEST_MARK": project.mark},
            watch=project.watch,
            time_limit=0.5,
        )
    assert project.processes() == []


def test_an_error_in_the_watch_ends_the_tree(project: Project) -> None:
    graph = started(project, STUBBORN)

    def stop() -> errors.ServiceError | None:
        if len(project.processes()) + 1 >= TREE:
            raise KeyboardInterrupt
        return None

    project.watch.stop = stop
    with pytest.raises(KeyboardInterrupt):
        project.compute(graph, STAGE)
    assert project.processes() == []


def test_a_lease_that_runs_out(project: Project) -> None:
    """The holder is not told to stop, it only has no time left."""
    graph = started(project, STUBBORN)
    end = time.monotonic() + 0.7
    project.watch.lease = lambda: end - time.monotonic()
    with pytest.raises(LeaseLost):
        project.compute(graph, STAGE)
    assert project.processes() == []


# Something is killed from outside


def test_the_warden_is_killed(project: Project) -> None:
    graph = started(project, STUBBORN)
    with in_background(lambda: project.compute(graph, STAGE)) as raised:
        tree(project, TREE)[0].kill()
    assert isinstance(raised[0], errors.EngineKilled)
    assert project.processes() == []


def test_the_warden_is_told_to_end(project: Project) -> None:
    graph = started(project, STUBBORN)
    with in_background(lambda: project.compute(graph, STAGE)) as raised:
        tree(project, TREE)[0].terminate()
    assert isinstance(raised[0], errors.EngineKilled)
    assert project.processes() == []


def test_the_fork_server_is_killed(project: Project) -> None:
    graph = started(project, STUBBORN)
    with in_background(lambda: project.compute(graph, STAGE)) as raised:
        server = psutil.Process(tree(project, TREE)[0].ppid())
        assert server.ppid() == os.getpid()
        server.kill()
    assert isinstance(raised[0], errors.EngineKilled)
    assert project.processes() == []
    project.script = {}
    project.compute(graph, STAGE)


def test_the_command_is_killed(project: Project) -> None:
    """Meshroom itself dies; its binary and all the others would live on."""
    graph = started(project, STUBBORN)
    with in_background(lambda: project.compute(graph, STAGE)) as raised:
        command_of(tree(project, TREE)).kill()
    assert isinstance(raised[0], errors.EngineKilled)
    assert project.processes() == []


def test_the_binary_is_killed(project: Project) -> None:
    graph = started(project, STUBBORN)
    with in_background(lambda: project.compute(graph, STAGE)) as raised:
        command = command_of(tree(project, TREE))
        next(child for child in command.children() if child.cmdline() == command.cmdline()).kill()
    assert isinstance(raised[0], errors.EngineKilled)
    assert project.processes() == []


# The driver dies or freezes

DRIVER = """
import json, sys, time
from pathlib import Path
from meshroom_tasks.engine import Engine, markers

class Watch:
    def stop_reason(self): return None
    def lease_seconds_left(self): return told["lease"]
    def line(self, text): pass
    def progress(self, fraction): pass

told = json.loads(sys.argv[1])
markers.DRIVER = told["driver"]
engine = Engine(told["batch"], told["compute"], environment=told["environment"])
try:
    engine.compute(folder=Path(told["folder"]), stage=told["stage"], node_type=told["node_type"], uid=told["uid"],
                   chunk=None, watch=Watch(), time_limit=600)
except BaseException as error:
    print(type(error).__name__, flush=True)
"""


@contextmanager
def driver(project: Project, rule: dict[str, Any], lease: float = 30.0) -> Iterator[subprocess.Popen[str]]:
    """A worker's process of its own that computes a chunk."""
    graph = started(project, rule)
    stage = graph.stage(STAGE)
    batch, compute = commands()
    told = {
        "batch": batch,
        "compute": compute,
        "environment": project.environment,
        "folder": str(project.prepare(graph, stage)),
        "stage": stage.name,
        "node_type": stage.node_type,
        "uid": stage.uid,
        "lease": lease,
        "driver": markers.DRIVER,
    }
    process = subprocess.Popen([sys.executable, "-c", DRIVER, json.dumps(told)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def engine_of(project: Project, process: subprocess.Popen[str]) -> list[int]:
    return [pid for pid in project.processes() if pid != process.pid]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_driver_dies(project: Project, number: signal.Signals) -> None:
    with driver(project, STUBBORN) as process:
        eventually(lambda: len(engine_of(project, process)) + 1 >= TREE)
        process.send_signal(number)
        process.wait()
        eventually(lambda: engine_of(project, process) == [])


def test_the_driver_freezes_past_its_deadline(project: Project) -> None:
    with driver(project, STUBBORN, lease=5.0) as process:
        eventually(lambda: len(engine_of(project, process)) + 1 >= TREE)
        freeze(process.pid)
        eventually(lambda: engine_of(project, process) == [])
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert process.stdout.readline() == "LeaseLost\n"


def test_driver_and_warden_die_at_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command goes with the warden; what it started is found by the next worker, by its mark."""
    monkeypatch.setattr(markers, "DRIVER", f"DRIVER_{project.mark[-8:]}")  # Not found by others that start now.
    with driver(project, STUBBORN) as process:
        warden = tree(project, TREE)[0]
        assert kill_leftovers() == 0, "those of a living worker are left alone"
        freeze(process.pid)
        freeze(warden.pid)
        process.kill()
        warden.kill()
        process.wait()
        eventually(lambda: wardens_in(project.root) == [])
        assert engine_of(project, process), "the test would show nothing"
        assert kill_leftovers() > 0
        eventually(lambda: engine_of(project, process) == [])


def test_a_run_that_cannot_begin_keeps_no_descriptor(tmp_path: Path) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(errors.EngineError, match="no process can be started here"):
            Warden(["true"], tmp_path, tmp_path / "gone" / "log", {})
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_marks_are_of_one_run_only(project: Project) -> None:
    marks = [markers.new_run() for _ in range(2)]
    processes = [subprocess.Popen(["sleep", "900"], env={**os.environ, **mark}) for mark in marks]
    try:
        eventually(lambda: marked(marks[1][markers.RUN]))
        eventually(lambda: marked(marks[0][markers.RUN]))
        assert markers.kill_marked(marks[0][markers.RUN]) == 1
        assert processes[0].wait(LONG) == -signal.SIGKILL
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()
