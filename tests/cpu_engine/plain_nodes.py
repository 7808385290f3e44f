"""Node types for the tests of planning and of the compute command, plugged in through CPU_ENGINE_NODES."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import ClassVar

from meshroom_tasks.cpu_engine.attributes import BoolParam, ChoiceParam, File, FileList, FloatParam, Group, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError

PLUGGED = ",".join(f"{__name__}:{name}" for name in ("Writer", "Reader", "Failing", "Crashing", "Sleeper"))


class Writer(Node):
    """Writes a file a chunk, and tells what it was given."""

    node_type = "Writer"
    block_size = 2
    attributes = (
        File("input", "Views."),
        IntParam("amount", "A number.", 3, low=1, high=10),
        FloatParam("ratio", "A number.", 0.5, high=1.0),
        BoolParam("flag", "A switch.", False),
        ChoiceParam("kind", "A kind.", "txt", values=("txt", "md"), refused={"doc": "nobody can read it"}),
        IntParam("nbThreads", "Changes no result.", 0, invalidates=False),
        Group("inner", "A group.", members=(IntParam("depth", "A number.", 1, high=9), BoolParam("on", "A switch."))),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": "", "first": "0.{kindValue}"}

    def process(self, chunk: NodeChunk) -> None:
        chunk.log(f"threads {chunk.threads} {os.environ['OMP_NUM_THREADS']}")
        os.write(2, b"from native code\n")
        chunk.progress(1, 1, "written")
        text = f"{list(chunk.views)} {chunk.attributes['amount']} {chunk.attributes['inner']['depth']}"
        (chunk.folder / f"{chunk.index}.{chunk.attributes['kind']}").write_text(text)


class Reader(Node):
    """Reads what a Writer wrote."""

    node_type = "Reader"
    sized_by_views = False
    attributes = (
        File("input", "A file of a Writer."),
        FileList("folders", "Folders of Writers."),
        IntParam("amount", "A number.", 3, low=1, high=10),
    )
    outputs: ClassVar[Mapping[str, str]] = {"output": "copy.txt"}

    def process(self, chunk: NodeChunk) -> None:
        (chunk.folder / "copy.txt").write_text(chunk.path("input").read_text())


class Failing(Node):
    node_type = "Failing"

    def process(self, chunk: NodeChunk) -> None:
        raise NodeError("No valid tracks.")


class Crashing(Node):
    node_type = "Crashing"
    attributes = (IntParam("signal", "How to die.", int(signal.SIGSEGV)),)

    def process(self, chunk: NodeChunk) -> None:
        os.kill(os.getpid(), chunk.attributes["signal"])


class Sleeper(Node):
    node_type = "Sleeper"

    def process(self, chunk: NodeChunk) -> None:
        chunk.log(f"pid {os.getpid()}")
        time.sleep(60)
