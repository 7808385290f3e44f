"""A client of the service as any other: it knows the HTTP contract and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

_TERMINAL = {"completed", "failed", "cancelled"}
_POLL_SECONDS = 0.5
_TIMEOUT = 30


class Client:
    def __init__(self, url: str, api_key: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["X-API-Key"] = api_key

    def submit(self, image_urls: Sequence[str], callback_url: str, **more: Any) -> str:
        """Returns the job's id."""
        body = {"image_urls": list(image_urls), "callback_url": callback_url, **more}
        reply = self._session.post(f"{self.url}/api/v1/reconstruct", json=body, timeout=_TIMEOUT)
        reply.raise_for_status()
        return str(reply.json()["job_id"])

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job as it is, twice a second, the last time when it has ended."""
        while True:
            reply = self._session.get(f"{self.url}/api/v1/jobs/{job_id}", timeout=_TIMEOUT)
            reply.raise_for_status()
            job: dict[str, Any] = reply.json()
            yield job
            if job["status"] in _TERMINAL:
                return
            time.sleep(_POLL_SECONDS)

    def download(self, url: str, path: Path) -> None:
        with self._session.get(url, timeout=_TIMEOUT, stream=True) as reply, path.open("wb") as file:
            reply.raise_for_status()
            for piece in reply.iter_content(1 << 20):
                file.write(piece)
