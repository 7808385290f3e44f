"""What may stand in a path; anything else is simply not found, and never reaches a file name or a query."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import BaseConverter


class IdConverter(BaseConverter):
    regex = r"[A-Za-z0-9_-]{1,64}"


class FileConverter(BaseConverter):
    """A file name without folders, hidden ones excluded."""

    regex = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"


def install(app: Flask) -> None:
    app.url_map.converters.update(id=IdConverter, file=FileConverter)
    app.url_map.strict_slashes = False
