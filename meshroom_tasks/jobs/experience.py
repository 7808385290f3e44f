"""What steps have cost so far, per engine and node type, so that the next can be foretold. Pure.

A few decaying sums hold all of it. Time is a straight line over a chunk's effort, fitted by least squares: starting a
chunk costs something, and each view (or pair of views) the same again.
"""

from __future__ import annotations

from dataclasses import dataclass

_KEPT = 0.95
"""What is left of the weight of a sample when the next one comes: about the last twenty count."""
_TRUSTED = 3.0
"""Weight from which on a sample that is far off is taken for an accident, at most `_FAR` times what was expected."""
_FAR = 4.0
_STIFFNESS = 0.05
"""How far the line is drawn to that through the origin: where all chunks had about as many views, there is no other."""


_ALL_PAIRS = 200
_PARTNERS = 50
"""Up to so many photos both engines match each with each other one; from there on each with about so many."""


def effort(node_type: str, views: int, photos: int) -> float:
    """What the time of a chunk of so many views grows with, in a job of so many photos: its views, or their pairs."""
    if node_type != "FeatureMatching":
        return max(1, views)
    return max(1.0, views * (photos - 1 if photos <= _ALL_PAIRS else _PARTNERS) / 2)


@dataclass(frozen=True)
class Sample:
    """One computed step: seconds from its claim to its end, CPU seconds and peak bytes of the engine's processes,
    bytes of the files that it left."""

    effort: float
    views: int
    seconds: float
    cpu_seconds: float
    output_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Experience:
    """Weighted sums over the samples; `weight` is that of all together."""

    weight: float = 0.0
    effort: float = 0.0
    effort_squared: float = 0.0
    views: float = 0.0
    seconds: float = 0.0
    seconds_by_effort: float = 0.0
    cpu_seconds: float = 0.0
    output_bytes: float = 0.0
    peak_bytes: float = 0.0
    """The highest that was seen, slowly forgotten."""

    def after(self, sample: Sample) -> Experience:
        """With one sample more. It counts as one view at least."""
        seconds = sample.seconds
        if self.weight >= _TRUSTED and (expected := self.seconds_for(sample.effort)) > 0:
            seconds = min(max(seconds, expected / _FAR), expected * _FAR)
        return Experience(
            weight=_KEPT * self.weight + 1,
            effort=_KEPT * self.effort + sample.effort,
            effort_squared=_KEPT * self.effort_squared + sample.effort**2,
            views=_KEPT * self.views + max(1, sample.views),
            seconds=_KEPT * self.seconds + seconds,
            seconds_by_effort=_KEPT * self.seconds_by_effort + seconds * sample.effort,
            cpu_seconds=_KEPT * self.cpu_seconds + sample.cpu_seconds,
            output_bytes=_KEPT * self.output_bytes + sample.output_bytes,
            peak_bytes=max(sample.peak_bytes, _KEPT * self.peak_bytes + (1 - _KEPT) * sample.peak_bytes),
        )

    def seconds_for(self, effort: float) -> float:
        """What a step of that effort takes from its claim to its end."""
        if self.weight <= 0:
            return 0.0
        start, each = self._line()
        return start + each * effort

    def cpu_seconds_for(self, views: int) -> float:
        return self.cpu_seconds / self.views * max(1, views) if self.views else 0.0

    def output_bytes_for(self, views: int) -> float:
        """Bytes of the files that a step of so many views leaves."""
        return self.output_bytes / self.views * max(1, views) if self.views else 0.0

    def _line(self) -> tuple[float, float]:
        """Seconds to start a step and for each unit of effort, neither below 0."""
        mean, seconds = self.effort / self.weight, self.seconds / self.weight
        spread = self.effort_squared / self.weight - mean**2
        together = self.seconds_by_effort / self.weight - mean * seconds
        stiffness = _STIFFNESS * mean**2
        each = max(0.0, (together + stiffness * seconds / mean) / (spread + stiffness))
        if each * mean > seconds:
            return 0.0, self.seconds_by_effort / self.effort_squared
        return seconds - each * mean, each
