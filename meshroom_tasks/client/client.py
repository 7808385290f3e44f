"""The service as an object: each method is one request, or a few that belong together."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meshroom_tasks.client.answers import Job, JobPage, Status, Upload
from meshroom_tasks.client.connection import Connection
from meshroom_tasks.client.downloading import Received, download_result
from meshroom_tasks.client.errors import ClientError, JobNotCompleted
from meshroom_tasks.client.log_following import follow_log
from meshroom_tasks.client.photos import find_photos
from meshroom_tasks.client.uploading import Sent, upload_files


def _ignore(_: int) -> None:
    """Nobody looks at the progress."""


class Client:
    """`url` is where the service answers (`http://127.0.0.1:8000`), `api_key` what is sent as `X-API-Key`.

    Every method may raise RequestProblem, what the service refuses, and ServiceUnreachable, after bounded retries:
    both are ClientErrors. What is sent again is never done twice: a submission carries an `Idempotency-Key`.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._connection = Connection(url, api_key)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connections that are kept between requests."""
        self._connection.close()

    def upload(self, files: Mapping[str, Path], *, sent: Sent = _ignore) -> Upload:
        """Send files, by the names that they are to have; `upload.url` then stands for them in `image_urls`."""
        return upload_files(self._connection, files, sent)

    def submit(self, image_urls: Sequence[str], *, idempotency_key: str | None = None, **more: Any) -> str:
        """The id of the new job. `more` is what `POST /api/v1/reconstruct` takes: `pipeline`, `settings`, ..."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        body = {"image_urls": list(image_urls), **more}
        return str(self._connection.call("POST", "/api/v1/reconstruct", json=body, headers=headers).json()["job_id"])

    def reconstruct(self, photos: Sequence[str | Path], *, sent: Sent = _ignore, **more: Any) -> str:
        """The id of a job for photos from this disk (files, folders, ZIPs) and addresses, in the order given.

        Raises NoPhotos.
        """
        found = find_photos(photos)
        uploaded = [self.upload(found.files, sent=sent).url] if found.files else []
        return self.submit([*uploaded, *found.urls], **more)

    def job(self, job_id: str) -> Job:
        return Job.model_validate(self._connection.call("GET", _path(job_id)).json())

    def jobs(self, *, status: Status | None = None, limit: int | None = None) -> Iterator[Job]:
        """Newest first; all, or as many as `limit`."""
        cursor, found = None, 0
        while limit is None or found < limit:
            size = 100 if limit is None else min(100, limit - found)
            asked = {"status": status, "limit": size, "cursor": cursor}
            parameters = {name: value for name, value in asked.items() if value is not None}
            page = JobPage.model_validate(self._connection.call("GET", "/api/v1/jobs", params=parameters).json())
            yield from page.data
            found += len(page.data)
            if (cursor := page.next_cursor) is None:
                return

    def follow(self, job_id: str, *, every: float = 1.0) -> Iterator[Job]:
        """The job as it is, each `every` seconds; the last one has ended."""
        while True:
            job = self.job(job_id)
            yield job
            if job.ended:
                return
            time.sleep(every)

    def wait(self, job_id: str, *, every: float = 1.0) -> Job:
        """The job once it is completed. Raises JobNotCompleted where it has ended otherwise."""
        job = last(self.follow(job_id, every=every))
        if job.status != "completed":
            said = f": {job.error.message}" if job.error else ""
            raise JobNotCompleted(job.status, f"job {job_id} is {job.status}{said}")
        return job

    def cancel(self, job_id: str) -> Job:
        return Job.model_validate(self._connection.call("POST", f"{_path(job_id)}/cancel").json())

    def requeue(self, job_id: str, *, from_stage: str | None = None) -> None:
        body = {} if from_stage is None else {"from_stage": from_stage}
        self._connection.call("POST", f"{_path(job_id)}/requeue", json=body)

    def delete(self, job_id: str) -> None:
        self._connection.call("DELETE", _path(job_id))

    def log(self, job_id: str, stage: str, *, chunk: int = 0) -> Iterator[bytes]:
        """The log of a chunk, some lines at a time, until it has ended; the stage by its name or its node type.

        Of a log that has grown beyond what the service keeps, the first line says how much is missing.
        """
        stage = self._stage_name(job_id, stage)
        path = f"{_path(job_id)}/logs/{quote(stage, safe='')}"
        yield from follow_log(self._connection, path, chunk)

    def download(self, job: Job | str, folder: str | Path, *, received: Received = _ignore) -> list[Path]:
        """All results of a job into `folder`, each compared with its digest; what is there already is not fetched.

        Raises JobNotCompleted, DownloadDamaged.
        """
        job = self.job(job) if isinstance(job, str) else job
        if job.status != "completed":
            raise JobNotCompleted(job.status, f"job {job.id} is {job.status}: it has no results to download")
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        return [download_result(self._connection, result, target, received) for result in job.results]

    def _stage_name(self, job_id: str, given: str) -> str:
        stages = self.job(job_id).stages
        for stage in stages:
            if given in (stage.name, stage.node_type):
                return stage.name
        names = ", ".join(stage.name for stage in stages) or "it has none yet"
        raise ClientError(f"job {job_id} has no stage {given}: {names}")


def last(jobs: Iterable[Job]) -> Job:
    """The last of at least one."""
    return deque(jobs, maxlen=1)[0]


def _path(job_id: str) -> str:
    return f"/api/v1/jobs/{quote(job_id, safe='')}"
