"""How far a stage is, read from its log lines or from the files that it has left. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_STAMP = r"^(?:\[[^\]]*\]\s*){0,2}"
"""`[14:57:20.158492][info] `, which AliceVision and the CPU engine put before each line."""
_STEP = re.compile(_STAMP + r"\[(?P<done>\d+)/(?P<total>\d+)\](?:\s|$)")
_EXTRACTED = re.compile(r"features extracted from view '(?P<view>[^']*)'")
_TILE = re.compile(r"\(rc: (?P<camera>\d+), tile: (?P<tile>\d+)/(?P<tiles>\d+)\)")
_FILES = {
    "PrepareDenseScene": re.compile(r"\d+\.(?:exr|png|jpg)"),
    "DepthMapFilter": re.compile(r"\d+_depthMap\.\w+"),
}
_ALMOST = 0.99
"""Only the end of the process says that a stage is done."""


class Meter:
    """The progress of one chunk of `total` views, from 0 to 0.99. It never goes back."""

    def __init__(self, node_type: str, total: int) -> None:
        self.fraction = 0.0
        self._node_type = node_type
        self._total = max(1, total)
        self._seen: set[tuple[str, ...]] = set()

    @property
    def counts_files(self) -> bool:
        """Whether the stage says nothing in its log, so that its files have to be counted."""
        return self._node_type in _FILES

    def line(self, text: str) -> float:
        """Take a line of the log into account."""
        if found := _STEP.match(text):
            return self._reached(int(found["done"]), int(found["total"]))
        if self._node_type == "FeatureExtraction" and (found := _EXTRACTED.search(text)):
            self._seen.add((found["view"],))
            return self._reached(len(self._seen), self._total)
        if self._node_type == "DepthMap" and (found := _TILE.search(text)):
            self._seen.add((found["camera"], found["tile"]))
            return self._reached(len(self._seen), self._total * int(found["tiles"]))
        return self.fraction

    def files(self, names: Iterable[str]) -> float:
        """Take the names of the files in the stage's folder into account: all chunks of a stage share it."""
        pattern = _FILES[self._node_type]
        return self._reached(sum(1 for name in names if pattern.fullmatch(name)), self._total)

    def _reached(self, done: int, total: int) -> float:
        if total > 0:
            self.fraction = max(self.fraction, min(_ALMOST, done / total))
        return self.fraction
