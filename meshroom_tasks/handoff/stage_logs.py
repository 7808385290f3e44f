"""Where the logs of steps are kept in the object store."""

from __future__ import annotations


def log_key(job_id: str, stage: str, chunk: int) -> str:
    return f"jobs/{job_id}/logs/{stage}/{chunk}.log"
