"""How the chunks of each node type are run: `pipelines/stages.toml`, which says what each field means."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal


@dataclass(frozen=True)
class StagePolicy:
    """The defaults are right for any node type, if not the fastest."""

    queue: Literal["cpu", "gpu"] = "cpu"
    time_limit_seconds: float = 14400.0
    weight: float = 5.0
    memory: Literal["normal", "intensive"] = "normal"
    reads_photos: bool = True
    attempts: int = 2
    block_size: int = 0


@dataclass(frozen=True)
class StagePolicies:
    """By node type, and the one for those that nobody has named."""

    by_type: Mapping[str, StagePolicy]
    default: StagePolicy = StagePolicy()

    def of(self, node_type: str) -> StagePolicy:
        return self.by_type.get(node_type, self.default)


def read_policies(text: str, base: StagePolicies | None = None) -> StagePolicies:
    """The policies of a `stages.toml`, on top of `base`. Raises ValueError for what it may not say."""
    content = tomllib.loads(text)
    if unknown := content.keys() - {"default", "stages"}:
        raise ValueError(f"unknown section {sorted(unknown)[0]!r}")
    base = base or StagePolicies({})
    default = _policy(base.default, "default", content.get("default", {}))
    own = {
        name: _policy(base.by_type.get(name, default), name, entry) for name, entry in content.get("stages", {}).items()
    }
    return StagePolicies({**base.by_type, **own}, default)


def _policy(base: StagePolicy, name: str, entry: Mapping[str, Any]) -> StagePolicy:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{name} is no section")
    if unknown := entry.keys() - {declared.name for declared in fields(StagePolicy)}:
        raise ValueError(f"{name} has an unknown key {sorted(unknown)[0]!r}")
    policy = replace(base, **entry)
    if policy.queue not in ("cpu", "gpu") or policy.memory not in ("normal", "intensive"):
        raise ValueError(f"{name}: queue is cpu or gpu, memory is normal or intensive")
    if not _positive(policy.time_limit_seconds) or not _positive(policy.weight):
        raise ValueError(f"{name}: time_limit_seconds and weight are numbers above 0")
    if not isinstance(policy.reads_photos, bool):
        raise ValueError(f"{name}: reads_photos is true or false")
    if not isinstance(policy.attempts, int) or not _positive(policy.attempts):
        raise ValueError(f"{name}: attempts is a whole number above 0")
    if not isinstance(policy.block_size, int) or (policy.block_size != 0 and not _positive(policy.block_size)):
        raise ValueError(f"{name}: block_size is a whole number, 0 for the engine's own")
    return policy


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
