"""Sending bytes that can be seeked in: whole, by range, or not at all when the client has them already."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from flask import Response, request
from werkzeug.wsgi import FileWrapper

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.retry_policies import NEVER
from web.slots import Slots, until_closed


class TooManyDownloads(ServiceError):
    """Each holds a thread of the web app for as long as its client takes."""

    code = "too_many_downloads"
    retry = NEVER
    http_status = 503


class Sending:
    """The files that one process sends at this moment."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._slots = Slots(most, most_of_one)

    def holding(self, response: Response, tenant: str) -> Response:
        """The response, which counts until it is closed. Raises TooManyDownloads."""
        give_back = self._slots.take(tenant)
        if give_back is None:
            response.close()
            raise TooManyDownloads("too many files of yours are being sent; ask for this one again soon")
        return until_closed(response, give_back)


OpenAt = Callable[[int], BinaryIO]
"""From a position in bytes to a stream that begins there."""

_BLOCK = 1 << 16


class SeekableStream:
    """The first `size` bytes of a file that may still grow.

    It is opened only when it is read, at the position sought, so that a range costs no more than its own bytes.
    """

    def __init__(self, open_at: OpenAt, size: int) -> None:
        self._open_at = open_at
        self._size = size
        self._position = 0
        self._stream: BinaryIO | None = None

    def seekable(self) -> bool:
        return True

    def seek(self, position: int) -> None:
        self.close()
        self._position = position

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._open_at(self._position)
        data = self._stream.read(min(size, self._size - self._position))
        self._position += len(data)
        return data

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def send(open_at: OpenAt, *, size: int, media_type: str, etag: str | None = None) -> Response:
    """200, 206, 304 or 416, as the request's headers ask (RFC 9110, sections 13 and 14)."""
    body = FileWrapper(SeekableStream(open_at, size), _BLOCK)  # type: ignore[arg-type]
    response = Response(body, content_type=media_type, direct_passthrough=True)
    response.content_length = size
    if etag is not None:
        response.set_etag(etag)
    response.make_conditional(request, accept_ranges=True, complete_length=size)
    return response
