"""The worker nodes of a machine: which there are, and the one home of their command line.

    python -m meshroom_tasks.worker_node light      ingest, planning, results, callbacks
    python -m meshroom_tasks.worker_node callback   callbacks alone
    python -m meshroom_tasks.worker_node ingest     ingest, planning and results alone
    python -m meshroom_tasks.worker_node cpu        CPU_WORKERS processes that compute stages
    python -m meshroom_tasks.worker_node gpu        for each GPU that CUDA_VISIBLE_DEVICES leaves a node of its own

A single node takes the place of this process; several GPUs have a node each, kept alive and ended by this process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from meshroom_tasks.child_processes import READY_FILE, Child, stop
from meshroom_tasks.gpu import Gpus, find_gpus
from meshroom_tasks.logs import configure_logging, logger
from meshroom_tasks.settings import PROJECT, Settings, current_settings, python_path

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
NEEDS_GPU = "WORKER_NEEDS_GPU"
"""Set for a node that must not take a stage without the GPU that it is pinned to."""
CPU_NODE = "cpu"

_LIGHT_PROCESSES = 2
_STOP_SECONDS = 12.0
_LOOK_SECONDS = 0.3

log = logger(__name__)


@dataclass(frozen=True)
class Node:
    """One Celery worker: `<name>@<host>`, with so many pool processes. `environment` is added to what it inherits."""

    name: str
    queues: tuple[str, ...]
    processes: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> tuple[str, ...]:
        return (
            *(sys.executable, "-m", "celery", "-A", "meshroom_tasks", "worker", "-E", "-n", f"{self.name}@%h"),
            *("-c", str(self.processes), "-Q", ",".join(self.queues), "--without-gossip", "--without-mingle"),
        )


def light_nodes(name: str = "light", queues: tuple[str, ...] = ("ingest", "callback")) -> list[Node]:
    """What waits for other servers most of the time."""
    return [_node(name, queues, _LIGHT_PROCESSES)]


def cpu_nodes(settings: Settings, gpus: Gpus) -> list[Node]:
    """The node that computes stages on CPUs: also those of `gpu` on a machine without one, unless told otherwise.

    Where the GPUs have nodes of their own, it sees none of them.
    """
    queues = settings.worker_queues or _default_queues(settings, gpus)
    hidden = {VISIBLE_DEVICES: ""} if gpus.devices and "gpu" not in queues else {}
    return [_node(CPU_NODE, queues, settings.worker_processes, hidden)]


def gpu_nodes(gpus: Gpus, inherited: str | None) -> list[Node]:
    """A node for each of these GPUs, which it and all its children see alone; `inherited`: CUDA_VISIBLE_DEVICES.

    Without any GPU one node that will refuse to take tasks, and say why.
    """
    if not gpus.devices:
        return [_node("gpu", ("gpu",), 1, {NEEDS_GPU: "1", VISIBLE_DEVICES: inherited or ""})]
    # By UUID, since CUDA may count in another order than the driver.
    return [_node(f"gpu{gpu.index}", ("gpu",), 1, {NEEDS_GPU: "1", VISIBLE_DEVICES: gpu.uuid}) for gpu in gpus.devices]


def _default_queues(settings: Settings, gpus: Gpus) -> tuple[str, ...]:
    takes_intensive = settings.worker_memory == "intensive" and settings.intensive_queue
    intensive = (settings.intensive_queue,) if takes_intensive else ()
    return (*intensive, "cpu", *(() if gpus.devices else ("gpu",)))


def _node(name: str, queues: Sequence[str], processes: int, environment: Mapping[str, str] | None = None) -> Node:
    # Told to stop, a worker gives its steps back at once, or after DRAIN_SECONDS (see draining.py).
    return Node(name, tuple(queues), processes, {"REMAP_SIGTERM": "SIGQUIT", **(environment or {})})


def _nodes(role: str, settings: Settings) -> list[Node]:
    gpus = find_gpus().visible(inherited := os.environ.get(VISIBLE_DEVICES))
    return {
        "light": light_nodes(),
        "ingest": light_nodes("ingest", ("ingest",)),
        "callback": light_nodes("callback", ("callback",)),
        "cpu": cpu_nodes(settings, gpus),
        "gpu": gpu_nodes(gpus, inherited),
    }[role]


def _become(node: Node) -> None:
    os.chdir(PROJECT)
    os.execve(node.command[0], node.command, _environment(node))  # noqa: S606  # nosec B606  # no shell is the point


def _supervise(nodes: Sequence[Node], settings: Settings) -> int:
    stopped = False

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    ready = os.environ.get(READY_FILE)
    children = [
        Child(node.name, node.command, _environment(node), Path(f"{ready}.{node.name}") if ready else None)
        for node in nodes
    ]
    try:
        for child in children:
            child.start()
        while not stopped:
            for child in children:
                if (code := child.keep_alive()) is not None:
                    log.warning("a worker node has ended; it is started again", node=child.name, exit_code=code)
            if ready:
                _say_ready(Path(ready), children)
            time.sleep(_LOOK_SECONDS)
        return 0
    finally:
        stop(children, settings.drain_seconds + _STOP_SECONDS)


def _say_ready(file: Path, children: Sequence[Child]) -> None:
    """The machine is ready while any of its nodes takes tasks; its last sign of life is that of the liveliest."""
    signs = [found for child in children if (found := _last_sign(child.ready_file)) is not None]
    if signs:
        file.touch()
        os.utime(file, (max(signs), max(signs)))
    else:
        file.unlink(missing_ok=True)


def _last_sign(ready: Path | None) -> float | None:
    try:
        return ready.stat().st_mtime if ready is not None else None
    except FileNotFoundError:
        return None


def _environment(node: Node) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": python_path(), **node.environment}


def main(arguments: Sequence[str]) -> int:
    roles = ("light", "ingest", "callback", "cpu", "gpu")
    if len(arguments) != 1 or arguments[0] not in roles:
        print(f"usage: python -m meshroom_tasks.worker_node {'|'.join(roles)}", file=sys.stderr)
        return 2
    settings = current_settings()
    configure_logging(settings.log_level, settings.log_format)
    nodes = _nodes(arguments[0], settings)
    if len(nodes) == 1:
        _become(nodes[0])
    return _supervise(nodes, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
