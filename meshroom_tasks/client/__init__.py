"""A client of the service over HTTP: photos in, textured mesh out.

    from meshroom_tasks.client import Client

    with Client("http://127.0.0.1:8000", "the API key") as client:
        job = client.wait(client.reconstruct(["photos/"]))
        client.download(job, "model")

It knows the service by its HTTP contract alone, and imports nothing of it.
"""

from __future__ import annotations

from meshroom_tasks.client.answers import Chunk, Job, JobError, JobPage, Result, Stage, Upload
from meshroom_tasks.client.client import Client
from meshroom_tasks.client.errors import (
    ClientError,
    DownloadDamaged,
    JobNotCompleted,
    NoPhotos,
    RequestProblem,
    ServiceUnreachable,
)

__all__ = [
    "Chunk",
    "Client",
    "ClientError",
    "DownloadDamaged",
    "Job",
    "JobError",
    "JobNotCompleted",
    "JobPage",
    "NoPhotos",
    "RequestProblem",
    "Result",
    "ServiceUnreachable",
    "Stage",
    "Upload",
]
