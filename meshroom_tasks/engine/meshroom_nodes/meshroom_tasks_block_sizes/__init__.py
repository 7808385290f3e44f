"""A package of Meshroom nodes without nodes: it cuts Meshroom's own nodes into smaller chunks.

Meshroom imports it from MESHROOM_NODES_PATH, when planning and when computing. `ENGINE_BLOCK_SIZES`
(`DepthMap=6,FeatureExtraction=12`) says how many views a chunk of a node type holds at most. In Meshroom a block size
is no attribute, and no part of a uid; it stands in the description of the node type, which the command line of a chunk
is made from. For 2023.3 and 2025.1; it runs in Meshroom's Python and imports nothing of this project.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from meshroom.core import desc


def _wanted() -> dict[str, int]:
    pairs = (entry.partition("=") for entry in os.environ.get("ENGINE_BLOCK_SIZES", "").split(","))
    return {name.strip(): int(size) for name, _, size in pairs if size.strip().isdigit() and int(size) > 0}


def _lower(description: type, wanted: Mapping[str, int]) -> None:
    parallelization: Any = getattr(description, "parallelization", None)
    own = getattr(parallelization, "blockSize", 0)
    if own and description.__name__ in wanted:
        parallelization.blockSize = min(own, wanted[description.__name__])


def _descriptions(base: Any) -> Iterator[type]:
    for description in base.__subclasses__():
        yield description
        yield from _descriptions(description)


def _apply() -> None:
    wanted = _wanted()
    for description in list(_descriptions(getattr(desc, "BaseNode", desc.Node))):
        _lower(description, wanted)
    # Those that are loaded later: Python tells a class attribute of its class.
    desc.Parallelization.__set_name__ = lambda _, owner, name: _lower(owner, wanted)


_apply()
