"""`meshroom_batch --input DIR --pipeline NAME|FILE.mg --save p.mg [--compute no]`: plan a graph, and compute it.

As Meshroom's command. Exit codes: 0 done, 1 failed with one sentence on standard error, 255 bad usage.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from meshroom_tasks.cpu_engine.attributes import File, FileList, Records
from meshroom_tasks.cpu_engine.command import Parser
from meshroom_tasks.cpu_engine.execution import Terminated
from meshroom_tasks.cpu_engine.links import Graph, in_order, links_in
from meshroom_tasks.cpu_engine.meshroom_compute import compute
from meshroom_tasks.cpu_engine.nodes.camera_init import FOCAL_MISSING, photos_without_focal
from meshroom_tasks.cpu_engine.planning import chunk_count, plan, save, view_count
from meshroom_tasks.cpu_engine.registry import node_of_type, node_types
from meshroom_tasks.cpu_engine.template import InvalidSetting, find_template


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list_attributes:
        print("\n".join(attribute_table()))
        return 0
    if not options.input or not options.save:
        parser.error("--input and --save are needed")
    try:
        graph = plan(
            find_template(options.pipeline),
            options.input,
            _read_overrides(options.overrides) if options.overrides else {},
            options.paramOverrides,
        )
        save(graph, options.save)
        _warn(graph)
        if options.compute == "no":
            return 0
        return 0 if _compute_all(graph, options.save, options.output) else 1
    except Terminated as signal_name:
        print(f"Stopped by {signal_name}", file=sys.stderr)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
    return 1


def _parser() -> Parser:
    parser = Parser(prog="meshroom_batch", description="Plan a reconstruction from a folder of photos, and compute it.")
    parser.add_argument("--input", type=Path, metavar="DIR", help="folder with the photos")
    parser.add_argument("--pipeline", default="default", metavar="NAME|FILE.mg", help="template (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder that receives the results when computing")
    parser.add_argument("--save", type=Path, metavar="FILE.mg", help="where to save the graph; its folder must exist")
    parser.add_argument("--compute", choices=("yes", "no"), default="yes", help="'no': plan only")
    parser.add_argument(
        "--paramOverrides",
        nargs="+",
        default=[],
        metavar="SETTING",
        help="NodeType:attribute=value or Node_1.attribute=value",
    )
    parser.add_argument("--overrides", type=Path, metavar="FILE.json", help='{"NodeType": {"attribute": value}}')
    parser.add_argument("--list-attributes", action="store_true", help="print what each node type honours, and exit")
    return parser


def _read_overrides(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidSetting("overrides", f"{path.name} is not JSON: {error}") from error


def _warn(graph: Graph) -> None:
    """As AliceVision does, when it is asked for the photos' cameras: where CameraInit is cached, nobody else does."""
    for node in graph.values():
        if node.node_type == "CameraInit":
            for name in photos_without_focal(node.values["viewpoints"], node.values["intrinsics"]):
                print(f"[warning] {FOCAL_MISSING.format(name=name)}")


def _compute_all(graph: Graph, saved: Path, output: Path | None) -> bool:
    nodes = in_order(graph)
    for node in nodes:
        count = chunk_count(node, view_count(graph))
        for index in range(count):
            print(f"{node.name} [{index + 1}/{count}]", flush=True)
            if not compute(graph, node, index, saved):
                return False
    if output is not None:
        _publish(graph, saved.parent / "MeshroomCache", output)
    return True


def _publish(graph: Graph, cache: Path, output: Path) -> None:
    """Copy what the last nodes wrote, their status, log and statistics files apart."""
    read = {link.node for node in graph.values() for value in node.values.values() for link in links_in(value)}
    output.mkdir(parents=True, exist_ok=True)
    for node in graph.values():
        if node.name not in read:
            for path in (cache / node.node_type / node.uid).iterdir():
                if not path.name.endswith(("status", "log", "statistics")):
                    shutil.copy2(path, output)


def attribute_table() -> Iterator[str]:
    """What each node type honours: one block a node type, one line an attribute."""
    for node_type in node_types():
        kind = node_of_type(node_type)
        yield f"{node_type} {kind.version}" + (f", in chunks of {kind.block_size} views" if kind.block_size else "")
        for name, declared in kind.flat_attributes().items():
            if not isinstance(declared, File | FileList | Records):
                default = json.dumps(declared.default)
                yield f"    {name} = {default}  ({declared.allowed})  {declared.doc}"


if __name__ == "__main__":
    sys.exit(main())
