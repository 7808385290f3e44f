"""How long clients may ask to keep what they have."""

from __future__ import annotations

from collections.abc import Iterator

from meshroom_tasks.errors import RequestRefused
from meshroom_tasks.settings import Settings
from web.pipeline_checks import Found
from web.problems import Refused


def faults_of_span(seconds: float | None, settings: Settings) -> Iterator[Found]:
    """What is wrong with `expires_in` of a request, if anything."""
    most = settings.job_expire_max_seconds
    if seconds is not None and most and seconds > most:
        yield "/expires_in", RequestRefused(f"jobs are kept for {most:.0f} seconds at most")


def check_span(seconds: float, settings: Settings) -> None:
    """Raises Refused."""
    found = list(faults_of_span(seconds, settings))
    if found:
        raise Refused.because(found)
