"""The processes of the service, and two machines for its workers.

Node `a` shares the machine of the others. Node `b` has a machine of its own, as far as it can tell: another folder
under the same workspace path and another host name, by namespaces, and a cable to the broker that can be cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from meshroom_tasks.child_processes import Child, stop
from meshroom_tasks.local_service import LocalService
from meshroom_tasks.settings import Settings
from meshroom_tasks.worker_node import Node, light_nodes
from tests.machines import can_mount, on_a_machine, on_own_disk

_STAGES = ("cpu", "gpu")
_PROCESSES = 2
_STOP_SECONDS = 15.0


class Fleet(LocalService):
    def __init__(self, settings: Settings, folder: Path, broker_of_b: str) -> None:
        self._folder = folder
        self._broker_of_b = broker_of_b
        self.extra: list[Child] = []
        super().__init__(settings)

    def child(self, name: str) -> Child:
        return next(child for child in [*self.children, *self.extra] if child.name == name)

    @property
    def stage_workers(self) -> list[Child]:
        return [self.child("a"), self.child("b")]

    @property
    def workspaces(self) -> list[Path]:
        """The folders of all machines whose disks outlive their workers."""
        own = self._workspace_of_b
        return [self.settings.workspace, *([own] if can_mount() else [])]

    def twin_of_a(self) -> Child:
        """Another worker that calls itself `a`."""
        return self._started(replace(self._node("a"), name="twin", ready_file=self._run / "twin.ready"))

    def on_a_full_disk(self) -> Child:
        """A worker on a machine of its own whose workspace is a file system without room; needs `can_mount`."""
        fill = 'mount -t tmpfs -o size=1m none "$0"; head -c 2m /dev/zero > "$0/fill" 2>/dev/null || true'
        return self._started(on_a_machine(self._node("full"), fill, self.settings.workspace))

    def dismiss(self, child: Child, *, kill: bool) -> None:
        if kill and child.process is not None:
            child.process.kill()
        stop([child], _STOP_SECONDS)
        self.extra.remove(child)

    def stop(self) -> None:
        stop([*self.children, *self.extra], _STOP_SECONDS)

    def _servers(self) -> list[Child]:
        return [child for child in super()._servers() if child.name != "flower"]

    def _workers(self) -> list[Child]:
        (light,) = light_nodes()
        return [
            self._worker("light", light),
            self._node("a"),
            self._on_own_machine(self._node("b", BROKER_URL=self._broker_of_b)),
        ]

    def _node(self, name: str, **environment: str) -> Child:
        more: Mapping[str, str] = {"REMAP_SIGTERM": "SIGQUIT", **environment}
        return self._worker(name, Node(name, _STAGES, _PROCESSES, more))

    def _started(self, child: Child) -> Child:
        self.extra.append(child)
        child.start()
        return child

    def _on_own_machine(self, child: Child) -> Child:
        if not can_mount():
            return child
        return on_own_disk(child, self._workspace_of_b, self.settings.workspace)

    @property
    def _workspace_of_b(self) -> Path:
        return self._folder / "workspace-b"
