"""How stages hand their results on: workspace folders, bundles, and the stage cache in the object store."""

from __future__ import annotations

from meshroom_tasks.handoff.bundles import Packed, is_worth_compressing, pack, unpack
from meshroom_tasks.handoff.room import Room
from meshroom_tasks.handoff.stage_cache import StageCache
from meshroom_tasks.handoff.stage_logs import log_key
from meshroom_tasks.handoff.workspace import RunFolder, Workspace

__all__ = [
    "Packed",
    "Room",
    "RunFolder",
    "StageCache",
    "Workspace",
    "is_worth_compressing",
    "log_key",
    "pack",
    "unpack",
]
