"""How an engine is told to cut its stages into smaller chunks than it does by itself.

Both engines take `ENGINE_BLOCK_SIZES`; Meshroom by the package in `meshroom_nodes`, which it loads as it loads nodes.
A block size is no part of a uid, so it is noted in the graph's header, and every chunk is computed with the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_VARIABLE = "ENGINE_BLOCK_SIZES"
_HEADER = "blockSizes"
_NODES = Path(__file__).parent / "meshroom_nodes"


def environment(block_sizes: Mapping[str, int], inherited: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment of the engine: at most so many views a chunk, by node type."""
    if not block_sizes:
        return {}
    nodes = os.pathsep.join(filter(None, (inherited.get("MESHROOM_NODES_PATH", ""), str(_NODES))))
    listed = ",".join(f"{node_type}={size}" for node_type, size in sorted(block_sizes.items()))
    return {_VARIABLE: listed, "MESHROOM_NODES_PATH": nodes}


def note(graph: Path, block_sizes: Mapping[str, int]) -> None:
    """Write into a saved graph what it was planned with. Raises OSError, ValueError."""
    if block_sizes:
        document = json.loads(graph.read_text())
        document["header"][_HEADER] = dict(block_sizes)
        graph.write_text(json.dumps(document, indent=4))


def noted(graph: Path) -> dict[str, int]:
    """What a saved graph was planned with. Raises OSError, ValueError."""
    found: Any = json.loads(graph.read_text())["header"].get(_HEADER, {})
    return {str(name): int(size) for name, size in found.items()}
