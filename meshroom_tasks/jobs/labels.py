"""What people who run the service call a step, in logs, dead letters and Flower."""

from __future__ import annotations


def step_label(kind: str, stage: str | None, chunk: int, job_id: str) -> str:
    """`DepthMap_1.chunk-0.job-3b2c61d8`. Chunks are counted from 0, as in the API.

    Without a space: Flower makes the name of a task a link that searches for it, word by word.
    """
    return label(f"{stage}.chunk-{chunk}" if kind == "chunk" else kind, job_id)


def label(what: str, job_id: str) -> str:
    """Of what is done for a job."""
    return f"{what}.job-{job_id[:8]}"
