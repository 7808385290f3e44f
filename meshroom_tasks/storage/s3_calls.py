"""Single requests to an S3 server: time-outs, patience with what passes, and errors in the service's own terms.

What botocore says is never repeated: only error codes and HTTP statuses go into sentences, so that no signature, key
or server's text reaches a log or a client.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import ConnectionError as ConnectionFault
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from meshroom_tasks.errors import DiskFull, ObjectMissing, ServiceError, StorageUnavailable
from meshroom_tasks.settings import Settings

T = TypeVar("T")

CONNECTIONS = 4
"""How many parts of one object move at a time."""

_DEFAULT_REGION = "us-east-1"
_CONNECT_SECONDS = 5.0
_READ_SECONDS = (5.0, 60.0)
_MISSING = {"NoSuchKey", "NoSuchBucket", "404", "NotFound"}
_FULL = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded"}
_PASSING_CODES = {
    "BadDigest",
    "ConditionalRequestConflict",
    "OperationAborted",
    "RequestTimeout",
    "Throttling",
    "XAmzContentChecksumMismatch",
}
_PASSING_FAULTS = (ConnectionFault, HTTPClientError, IncompleteReadError, ResponseStreamingError, FlexibleChecksumError)

# At DEBUG botocore writes signatures and headers.
logging.getLogger("botocore").setLevel(logging.WARNING)


class S3Calls:
    """Calls of one client, made on first use so that no connection is shared with a forked process.

    A call is repeated for about `patience` seconds while its failure is one that passes.
    """

    def __init__(self, settings: Settings, bucket: str, *, patience: float, endpoint: str = "") -> None:
        self._settings = settings
        self._endpoint = endpoint or settings.aws_endpoint_url
        self._patience = patience
        self._making = threading.Lock()
        self.bucket = bucket

    def __call__(self, operation: str, *, key: str = "", **parameters: Any) -> dict[str, Any]:
        """One operation (`head_object`); errors as `translated`."""
        return self.patiently(lambda: self.once(operation, **parameters), key=key)

    def once(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The same without patience or translation."""
        answer: dict[str, Any] = getattr(self.client, operation)(Bucket=self.bucket, **parameters)
        return answer

    def patiently(self, attempt: Callable[[], T], *, key: str = "") -> T:
        """Repeat `attempt` while it fails with what passes; then raise what it failed with, `translated`."""
        retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            stop=stop_after_delay(self._patience),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except (ClientError, BotoCoreError) as error:
            raise translated(error, self.bucket, key) from error

    @property
    def client(self) -> Any:
        with self._making:
            return self._client

    @cached_property
    def _client(self) -> Any:
        settings = self._settings
        session = boto3.session.Session(
            # Without a pair of keys: boto3's own search, which ends at the machine's role.
            aws_access_key_id=settings.aws_access_key_id or None,
            aws_secret_access_key=settings.aws_secret_access_key.get_secret_value() or None,
            aws_session_token=settings.aws_session_token.get_secret_value() or None,
        )
        least, most = _READ_SECONDS
        return session.client(
            "s3",
            region_name=settings.aws_region or session.region_name or _DEFAULT_REGION,
            endpoint_url=self._endpoint or None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if self._endpoint else "auto"},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=min(max(self._patience, least), most),
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=4 * CONNECTIONS,
                tcp_keepalive=True,
            ),
        )


def code_of(error: Exception) -> str:
    """The S3 error code (`PreconditionFailed`); empty when no server answered."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: Exception) -> int:
    """The HTTP status; 0 when no server answered."""
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: Exception) -> bool:
    return code_of(error) in _MISSING


def is_refused_condition(error: Exception) -> bool:
    """`If-None-Match` or `If-Match` did not hold."""
    return code_of(error) in ("PreconditionFailed", "412")


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, ClientError):
        status, code = status_of(error), code_of(error)
        return code not in _FULL and status != 507 and (status >= 500 or status == 429 or code in _PASSING_CODES)
    return isinstance(error, _PASSING_FAULTS) and not isinstance(error, SSLError)


def translated(error: Exception, bucket: str, key: str = "") -> ServiceError:
    """The service's error for one of botocore's, with a sentence that says what to do."""
    code, status = code_of(error), status_of(error)
    if code == "NoSuchKey" or (key and is_missing(error)):
        return ObjectMissing(f"there is no object {key!r} in storage", key=key)
    if code in _FULL or status == 507:
        return DiskFull("the object store is full: free space or enlarge it", bucket=bucket)
    cause = code or (str(status) if status else type(error).__name__)
    return StorageUnavailable(_sentence(error, bucket, cause), bucket=bucket, cause=cause)


def _sentence(error: Exception, bucket: str, cause: str) -> str:
    status = status_of(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "there are no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code_of(error) == "RequestTimeTooSkewed":
        return "the object store refuses requests because the clocks differ: set this machine's clock"
    if status in (401, 403):
        return (
            f"the object store refuses the credentials ({cause}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            f"and that they may list, read, write and delete in bucket {bucket!r}"
        )
    if code_of(error) == "NoSuchBucket":
        return f"the bucket {bucket!r} does not exist: create it, or check STORAGE_URL"
    if isinstance(error, SSLError):
        return "the object store's certificate is not trusted: check AWS_ENDPOINT_URL and the installed authorities"
    if status:
        return f"the object store answers with an error ({status} {cause}): look into its log"
    return f"the object store does not answer ({cause}): check that it runs and that AWS_ENDPOINT_URL reaches it"
