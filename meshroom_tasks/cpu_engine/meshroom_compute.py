"""`meshroom_compute /abs/p.mg [--node NODE [--iteration I]]`: compute a graph, a node, or one chunk of it.

As Meshroom's command: the cache is `MeshroomCache` beside the graph; what is done already is skipped; whether the
upstream nodes are done is the caller's affair. Exit codes: 0 done, 1 failed, 255 bad usage.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from meshroom_tasks.cpu_engine.command import Parser
from meshroom_tasks.cpu_engine.execution import Terminated, compute_chunk
from meshroom_tasks.cpu_engine.links import Graph, GraphNode, in_order
from meshroom_tasks.cpu_engine.planning import chunk_count, view_count
from meshroom_tasks.cpu_engine.status import ChunkFiles
from meshroom_tasks.cpu_engine.template import read_graph


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="meshroom_compute", description="Compute a saved graph, one of its nodes, or one chunk.")
    parser.add_argument("graph", type=Path, help="absolute path of the saved graph (.mg)")
    parser.add_argument("--node", metavar="NODE", help="name of the node to compute; all nodes when left out")
    parser.add_argument("--iteration", type=int, metavar="I", help="index of the chunk; all chunks when left out")
    options = parser.parse_args(arguments)
    if options.iteration is not None and not options.node:
        parser.error("--iteration needs --node")
    try:
        graph = read_graph(options.graph)
        nodes = [_node(graph, options.node)] if options.node else in_order(graph)
        for node in nodes:
            for index in _chunks(graph, node, options.iteration):
                if not compute(graph, node, index, options.graph):
                    return 1
    except Terminated as signal_name:
        print(f"Stopped by {signal_name}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def compute(graph: Graph, node: GraphNode, index: int, saved: Path) -> bool:
    """Compute one chunk beside the saved graph, telling on the terminal how it went."""
    cache = saved.parent / "MeshroomCache"
    done = compute_chunk(graph, node, index, cache)
    if not done:
        log = ChunkFiles.of(cache / node.node_type / node.uid, node.block_size, index).log
        print(f"{node.name}({index}) failed, see {log}", file=sys.stderr)
    return done


def _node(graph: Graph, name: str) -> GraphNode:
    if name not in graph:
        raise ValueError(f"The graph has no node {name}; there are: {', '.join(graph)}")
    if not graph[name].uid:
        raise ValueError("The graph is a template; plan it with meshroom_batch first")
    return graph[name]


def _chunks(graph: Graph, node: GraphNode, iteration: int | None) -> range:
    count = chunk_count(node, view_count(graph))
    if iteration is None:
        return range(count)
    if not 0 <= iteration < count:
        raise ValueError(f"{node.name} has {count} chunks, numbered from 0; there is no {iteration}")
    return range(iteration, iteration + 1)


if __name__ == "__main__":
    sys.exit(main())
