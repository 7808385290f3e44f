"""What steps have cost so far, per engine and node type, so that the next can be foretold. Pure.

A few decaying sums hold all of it. Time is a straight line over the number of views, fitted by least squares: starting
a chunk costs something, and each view the same again.
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


@dataclass(frozen=True)
class Sample:
    """One computed step: seconds from its claim to its end, CPU seconds and peak bytes of the engine's processes,
    bytes of the files that it left."""

    views: int
    seconds: float
    cpu_seconds: float
    output_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Experience:
    """Weighted sums over the samples; `weight` is that of all together."""

    weight: float = 0.0
    views: float = 0.0
    views_squared: float = 0.0
    seconds: float = 0.0
    seconds_by_views: float = 0.0
    cpu_seconds: float = 0.0
    output_bytes: float = 0.0
    peak_bytes: float = 0.0
    """The highest that was seen, slowly forgotten."""

    def after(self, sample: Sample) -> Experience:
        """With one sample more. It counts as one view at least."""
        views = max(1, sample.views)
        seconds = sample.seconds
        if self.weight >= _TRUSTED and (expected := self.seconds_for(views)) > 0:
            seconds = min(max(seconds, expected / _FAR), expected * _FAR)
        return Experience(
            weight=_KEPT * self.weight + 1,
            views=_KEPT * self.views + views,
            views_squared=_KEPT * self.views_squared + views**2,
            seconds=_KEPT * self.seconds + seconds,
            seconds_by_views=_KEPT * self.seconds_by_views + seconds * views,
            cpu_seconds=_KEPT * self.cpu_seconds + sample.cpu_seconds,
            output_bytes=_KEPT * self.output_bytes + sample.output_bytes,
            peak_bytes=max(sample.peak_bytes, _KEPT * self.peak_bytes + (1 - _KEPT) * sample.peak_bytes),
        )

    def seconds_for(self, views: int) -> float:
        """What a step of so many views takes from its claim to its end."""
        if self.weight <= 0:
            return 0.0
        start, each = self._line()
        return start + each * max(1, views)

    def cpu_seconds_for(self, views: int) -> float:
        return self.cpu_seconds / self.views * max(1, views) if self.views else 0.0

    def output_bytes_for(self, views: int) -> float:
        """Bytes of the files that a step of so many views leaves."""
        return self.output_bytes / self.views * max(1, views) if self.views else 0.0

    def _line(self) -> tuple[float, float]:
        """Seconds to start a step and for each view, neither below 0."""
        mean, seconds = self.views / self.weight, self.seconds / self.weight
        spread = self.views_squared / self.weight - mean**2
        together = self.seconds_by_views / self.weight - mean * seconds
        stiffness = _STIFFNESS * mean**2
        each = max(0.0, (together + stiffness * seconds / mean) / (spread + stiffness))
        if each * mean > seconds:
            return 0.0, self.seconds_by_views / self.views_squared
        return seconds - each * mean, each
