"""What was survived, and what it cost: one line for each kind of fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tests.faults.chaos.audit import Move
from tests.faults.chaos.faults import FAULTS
from tests.faults.chaos.run import Happened
from tests.scripted_engine import Run


@dataclass(frozen=True)
class Cost:
    """Of one fault: steps that were tried again from then until the next fault, seconds until a chunk was begun."""

    fault: str
    retries: int
    seconds: float | None


def costs(happened: Sequence[Happened], moves: Sequence[Move], runs: Sequence[Run]) -> list[Cost]:
    times = [*(one.at for one in happened), float("inf")]
    return [
        Cost(
            one.fault.name,
            sum(move.is_retry and begun <= move.at < until for move in moves),
            min((run.started - begun for run in runs if run.started > begun), default=None),
        )
        for one, (begun, until) in zip(happened, pairwise(times), strict=True)
    ]


def table(costs: Iterable[Cost]) -> str:
    """Markdown."""
    rows = ["| fault | times | retries | seconds to the next chunk: median, longest |", "|---|---:|---:|---:|"]
    known = list(costs)
    for name in (fault.name for fault in FAULTS):
        of_kind = [cost for cost in known if cost.fault == name]
        seconds = [cost.seconds for cost in of_kind if cost.seconds is not None]
        waited = f"{median(seconds):.1f}, {max(seconds):.1f}" if seconds else ""
        rows.append(f"| {name} | {len(of_kind)} | {sum(cost.retries for cost in of_kind)} | {waited} |")
    return "\n".join(rows)
