"""What can go wrong for a client. Each error has a stable `code` and a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ClientError(Exception):
    """The base of all. `code` is stable; for a RequestProblem it is the one of the service."""

    code = "client_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ServiceUnreachable(ClientError):
    """No answer, or none that makes sense, after all tries."""

    code = "service_unreachable"


class RequestProblem(ClientError):
    """The service has refused a request (RFC 9457): `status` is that of HTTP, `faults` tell what is wrong where."""

    def __init__(self, status: int, code: str, detail: str, faults: Sequence[Any] = (), request_id: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.faults = tuple(faults)
        self.request_id = request_id

    def __str__(self) -> str:
        said = "".join(f"; {fault.get('pointer', '')}: {fault.get('detail', '')}" for fault in self.faults)
        return f"{self.message} ({self.code}){said}"


class NoPhotos(ClientError):
    """What was given as photos holds none."""

    code = "no_photos"


class JobNotCompleted(ClientError):
    """The job has ended otherwise, or has not ended; `status` is its own."""

    code = "job_not_completed"

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class DownloadDamaged(ClientError):
    """A result arrived with other bytes than the service has announced, also the second time."""

    code = "download_damaged"
