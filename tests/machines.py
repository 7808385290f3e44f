"""Workers that take this machine for several: each has its own folder under the one workspace path, and a host name.

By namespaces of the kernel (unshare(1)), hence for root alone.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from meshroom_tasks.child_processes import Child
from meshroom_tasks.local_service import LocalService
from meshroom_tasks.settings import Settings
from meshroom_tasks.worker_node import Node, light_nodes

_MACHINE = ("unshare", "--mount", "--uts", "--propagation", "private", "sh", "-ec")
_STAGES = ("cpu", "gpu")


def on_a_machine(child: Child, prepare: str, workspace: Path) -> Child:
    """The child as it would be on another machine: `prepare` makes its own workspace, in sh, under the name $0."""
    start = f'{prepare}; hostname "machine-of-{child.name}"; exec "$@"'
    return replace(child, command=(*_MACHINE, start, str(workspace), *child.command))


def on_own_disk(child: Child, folder: Path, workspace: Path) -> Child:
    """The child on a machine where `folder` is what is to be seen at `workspace`."""
    for path in (folder, workspace):
        path.mkdir(parents=True, exist_ok=True)
    return on_a_machine(child, f'mount --bind {shlex.quote(str(folder))} "$0"', workspace)


@lru_cache(maxsize=1)
def can_mount() -> bool:
    """Whether this process may make such a machine."""
    attempt = f"{' '.join(_MACHINE)} 'mount -t tmpfs none /mnt; hostname x' 2>/dev/null"
    return os.spawnlp(os.P_WAIT, "sh", "sh", "-c", attempt) == 0


class Machines(LocalService):
    """The service with so many workers of one process for the stages; they and the light one have a machine each."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self._names = [f"worker{number}" for number in range(workers)]
        super().__init__(settings)

    @property
    def stage_workers(self) -> list[Child]:
        return [child for child in self.children if child.name in self._names]

    @property
    def workers(self) -> list[Child]:
        return [child for child in self.children if child.ready_file is not None]

    def disk_of(self, worker: Child) -> Path:
        """Where the worker's workspace is for those who are not on its machine."""
        return self.settings.data_dir / "disks" / worker.name

    def _servers(self) -> list[Child]:
        return [child for child in super()._servers() if child.name != "flower"]

    def _workers(self) -> list[Child]:
        told = {"REMAP_SIGTERM": "SIGQUIT"}
        stages = [self._worker(name, Node(name, _STAGES, 1, told)) for name in self._names]
        (light,) = light_nodes()
        workers = [self._worker("light", light), *stages]
        return [on_own_disk(worker, self.disk_of(worker), self.settings.workspace) for worker in workers]
