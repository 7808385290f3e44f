from __future__ import annotations

import io
from typing import BinaryIO

import pytest
from flask import Flask, Response

from web.downloads import SeekableStream, send

DATA = bytes(range(256)) * 700  # More than two blocks.


class CountingFile:
    """Opens `DATA` at a position and remembers which."""

    def __init__(self) -> None:
        self.opened: list[int] = []

    def __call__(self, start: int) -> BinaryIO:
        self.opened.append(start)
        return io.BytesIO(DATA[start:])


def answer(headers: dict[str, str], source: CountingFile | None = None) -> Response:
    app = Flask("test")

    @app.get("/")
    def get() -> Response:
        return send(source or CountingFile(), size=len(DATA), media_type="model/obj", etag="abc")

    return app.test_client().get("/", headers=headers)


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-", 0, len(DATA)),
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=70000-140000", 70000, 140001),
        ("bytes=-7", len(DATA) - 7, len(DATA)),
        ("bytes=100-999999999", 100, len(DATA)),
    ],
)
def test_ranges(asked: str, first: int, end: int) -> None:
    source = CountingFile()
    got = answer({"Range": asked}, source)
    assert got.status_code == 206
    assert got.data == DATA[first:end]
    assert got.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(DATA)}"
    assert int(got.headers["Content-Length"]) == end - first
    assert source.opened == [first]


def test_whole_file() -> None:
    got = answer({})
    assert (got.status_code, got.data) == (200, DATA)
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["Content-Type"] == "model/obj"


def test_nothing_is_opened_for_what_the_client_has() -> None:
    source = CountingFile()
    got = answer({"If-None-Match": '"abc"'}, source)
    assert (got.status_code, got.data, source.opened) == (304, b"", [])


def test_a_range_of_another_version_gives_the_whole_file() -> None:
    assert answer({"Range": "bytes=5-9", "If-Range": '"older"'}).data == DATA


def test_a_range_behind_the_end() -> None:
    assert answer({"Range": f"bytes={len(DATA)}-"}).status_code == 416


def test_a_file_that_grows_is_sent_as_long_as_it_was() -> None:
    stream = SeekableStream(lambda start: io.BytesIO(DATA[start:]), size=10)
    stream.seek(4)
    assert stream.read(100) == DATA[4:10]
    assert stream.read(100) == b""
