"""The holder of a step whom nobody stops, and the step."""

from __future__ import annotations

from dataclasses import dataclass

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.jobs.records import Work

WORK = Work(
    step_id="s",
    job_id="j",
    kind="chunk",
    token="t",
    attempt=1,
    request_id="r",
    image_urls=(),
    pipeline="default",
    settings={},
    outputs=("obj",),
    engine="engine-1.0",
    photos_digest="photos0",
)


@dataclass
class Holder:
    """As those who prepare a step and those who run the engine ask it."""

    work: Work

    def stop_reason(self) -> ServiceError | None:
        return None

    def lease_seconds_left(self) -> float:
        return float("inf")

    def line(self, text: str) -> None:
        pass

    def progress(self, fraction: float) -> None:
        pass

    def check(self) -> None:
        pass

    def moved(self, _bytes: int) -> None:
        pass
