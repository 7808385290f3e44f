"""What a node type is, and what one run of a chunk sees.

A node type is a subclass of `Node` in its own module under `cpu_engine/nodes/`. Planning imports that module, so it
holds declarations only; whatever needs numpy, OpenCV or pycolmap is imported inside `process`:

    class MeshFiltering(Node):
        '''One paragraph on what it does and where the method is described.'''

        node_type = "MeshFiltering"
        sized_by_views = False
        attributes = (File("inputMesh", "Mesh to filter."), IntParam("smoothingIterations", "...", 5, low=0, high=50))
        outputs = {"outputMesh": "mesh.ply"}

        def process(self, chunk: NodeChunk) -> None:
            from meshroom_tasks.cpu_engine.mesh import smooth
            ...
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from meshroom_tasks.cpu_engine.attributes import Attribute


class NodeError(Exception):
    """The node cannot do its work on these inputs. Its sentence becomes the last line of the log; exit code 1."""


@dataclass(frozen=True)
class NodeChunk:
    """One chunk of one node, with everything that it may use."""

    attributes: Mapping[str, Any]
    """Values under Meshroom's names; links resolved to absolute paths or values, groups nested mappings."""
    folder: Path
    """The node's own cache folder, where all outputs go. Chunks of one node share it, so file names must differ."""
    index: int
    """Number of the chunk, from 0."""
    views: range
    """Indices into CameraInit's list of views that this chunk is responsible for."""
    threads: int
    """How many threads the chunk may use."""

    def path(self, name: str) -> Path:
        """The file or folder that a file attribute names. Raises NodeError when it is not there."""
        value = self.attributes[name]
        if not value or not (path := Path(value)).exists():
            raise NodeError(f"Input '{name}' is missing: {value or 'no path given'}")
        return path

    def folder_of(self, name: str) -> Path:
        """The folder that a file attribute names, or the folder of the file that it names.

        A link to `StructureFromMotion_1.output` is a file there; its neighbours (`scene.json`) are read by this.
        """
        path = self.path(name)
        return path if path.is_dir() else path.parent

    def log(self, text: str) -> None:
        """Add a line to the chunk's log."""
        _write_line("info", text)

    def warn(self, text: str) -> None:
        """Add a warning to the chunk's log."""
        _write_line("warning", text)

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Report that `done` of `total` units of the chunk's work are finished."""
        _write_line("info", f"[{done}/{total}] {what}".rstrip())


class Node:
    """Base of all node types. Stateless: one instance serves any number of chunks."""

    node_type: ClassVar[str]
    version: ClassVar[str] = "1.0"
    """Raised when the node's results change; part of the uid."""
    block_size: ClassVar[int] = 0
    """Views per chunk; 0: the node is not cut into chunks."""
    sized_by_views: ClassVar[bool] = True
    """Whether the size that the saved graph gives for the node is the number of views (else 1)."""
    attributes: ClassVar[tuple[Attribute, ...]] = ()
    outputs: ClassVar[Mapping[str, str]] = {}
    """Output name -> path inside the node's folder ("" is the folder). `{nameValue}` stands for attribute `name`."""

    def process(self, chunk: NodeChunk) -> None:
        """Compute one chunk. Raises NodeError where the inputs are at fault."""
        raise NotImplementedError

    @classmethod
    def flat_attributes(cls) -> dict[str, Attribute]:
        """All attributes under their dotted names, groups opened."""
        return {name: attribute for top in cls.attributes for name, attribute in top.flat()}


def thread_count() -> int:
    """Threads of one engine process: ENGINE_THREADS, else the cores that this process may use."""
    configured = os.environ.get("ENGINE_THREADS", "")
    if configured.isdigit() and int(configured) > 0:
        return int(configured)
    return len(os.sched_getaffinity(0))


def log_line(level: str, text: str) -> str:
    """A line as AliceVision writes them to its logs."""
    return f"[{datetime.now():%H:%M:%S.%f}][{level}] {text}\n"


def _write_line(level: str, text: str) -> None:
    sys.stdout.write(log_line(level, text))
    sys.stdout.flush()
