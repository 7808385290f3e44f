"""How stages hand their results on: workspace folders, bundles, and the stage cache in the object store."""

from __future__ import annotations

from meshroom_tasks.handoff.bundles import Packed, pack, unpack
from meshroom_tasks.handoff.stage_cache import Address, StageCache, lineage_of
from meshroom_tasks.handoff.stage_logs import log_key, save_log
from meshroom_tasks.handoff.workspace import RunFolder, Workspace

__all__ = [
    "Address",
    "Packed",
    "RunFolder",
    "StageCache",
    "Workspace",
    "lineage_of",
    "log_key",
    "pack",
    "save_log",
    "unpack",
]
