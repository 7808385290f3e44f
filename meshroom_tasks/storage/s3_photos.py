"""Clients' photos in buckets that the operator allows, read with the service's own credentials.

Which buckets those are is judged for every call: whoever could name any bucket could read with our credentials what is
none of theirs.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from meshroom_tasks.errors import AddressNotAllowed, ImageUnreachable, ObjectMissing, StorageUnavailable
from meshroom_tasks.settings import Settings
from meshroom_tasks.storage.s3_calls import S3Calls
from meshroom_tasks.storage.s3_download import Download

_BLOCK = 1 << 20
_NOT_THERE = ("NoSuchBucket", "404")
_REFUSED = ("AccessDenied", "AllAccessDisabled", "InvalidObjectState", "403")


class S3Photos:
    def __init__(self, settings: Settings, *, patience: float = 40.0) -> None:
        """`patience`: for how many seconds a request is repeated while the server cannot be reached or is busy."""
        self._buckets = {name: S3Calls(settings, name, patience=patience) for name in settings.photo_buckets}

    def open(self, bucket: str, key: str) -> BinaryIO:
        """The bytes of one object. Raises AddressNotAllowed, ImageUnreachable, StorageUnavailable."""
        with _told():
            return io.BufferedReader(Download(self._of(bucket), key, 0, None), _BLOCK)

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in order, without those that stand for folders. Raises like `open`."""
        calls = self._of(bucket)
        following: dict[str, str] = {}
        while True:
            with _told():
                page = calls("list_objects_v2", Prefix=prefix, **following)
            yield from (str(found["Key"]) for found in page.get("Contents", ()) if not str(found["Key"]).endswith("/"))
            if not page.get("IsTruncated"):
                return
            following = {"ContinuationToken": page["NextContinuationToken"]}

    def _of(self, bucket: str) -> S3Calls:
        if bucket not in self._buckets:
            raise AddressNotAllowed
        return self._buckets[bucket]


@contextmanager
def _told() -> Iterator[None]:
    """Say what a client can do something about as a fault of the photo; the rest is trouble of the store."""
    try:
        yield
    except ObjectMissing as error:
        raise ImageUnreachable("there is no such object") from error
    except StorageUnavailable as error:
        cause = error.context.get("cause")
        if cause in _NOT_THERE:
            raise ImageUnreachable("there is no such bucket") from error
        if cause in _REFUSED:
            raise ImageUnreachable("the service may not read it: give its credentials that right") from error
        raise
