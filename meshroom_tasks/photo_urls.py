"""What `image_urls` may name besides http(s) addresses: uploaded files, and objects in buckets that are allowed.

    upload://<upload id>               all files of an upload
    upload://<upload id>/<file name>   one of them, its name percent-encoded
    s3://<bucket>/<key>                an object, its key percent-encoded
    s3://<bucket>/<prefix>/            all photos below a prefix

Names of files are what clients call them, and shown to them again. They are never paths of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from meshroom_tasks.errors import UrlInvalid

MAX_NAME_CHARACTERS = 255

_MAX_URL_CHARACTERS = 2048
_UPLOAD = re.compile(r"upload://([A-Za-z0-9_-]{1,64})(?:/(.+))?/?")
_OBJECT = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class UploadUrl:
    """`name` None: all files of the upload."""

    upload_id: str
    name: str | None = None

    def __str__(self) -> str:
        return f"upload://{self.upload_id}" + (f"/{quote(self.name)}" if self.name else "")


@dataclass(frozen=True)
class ObjectUrl:
    """A `key` that ends in a slash, or is empty, names all objects below it."""

    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        return not self.key or self.key.endswith("/")


def parse_photo_url(url: str) -> UploadUrl | ObjectUrl | None:
    """None for every other scheme: what egress judges. Raises UrlInvalid."""
    scheme = url[:9].lower()
    if scheme.startswith("upload://"):
        return _upload(url)
    if scheme.startswith("s3://"):
        return _object(url)
    return None


def fault_of_name(name: str) -> str | None:
    """What is wrong with the name of a file; None: nothing. `chair/front/001.jpg` is a good one."""
    if len(name) > MAX_NAME_CHARACTERS:
        return f"a file name has at most {MAX_NAME_CHARACTERS} characters"
    if _CONTROL.search(name):
        return "a file name has no control characters"
    if "\\" in name or re.match(r"[A-Za-z]:", name):
        return "a file name has no backslashes and no drive; folders are separated by /"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "a file name is not empty, does not begin or end with a slash, and has no parts named . or .."
    return None


def _upload(url: str) -> UploadUrl:
    found = _UPLOAD.fullmatch(url) if len(url) <= _MAX_URL_CHARACTERS else None
    if found is None:
        raise UrlInvalid("an uploaded file is upload://<upload id>/<file name>, all of an upload upload://<upload id>")
    name = _decoded(found[2]) if found[2] else None
    if name is not None and (fault := fault_of_name(name)):
        raise UrlInvalid(fault)
    return UploadUrl(found[1], name)


def _object(url: str) -> ObjectUrl:
    found = _OBJECT.fullmatch(url) if len(url) <= _MAX_URL_CHARACTERS else None
    if found is None or "?" in found[2] or "#" in found[2]:
        raise UrlInvalid(
            "an object is s3://<bucket>/<key>, and all below a prefix s3://<bucket>/<prefix>/, percent-encoded"
        )
    key = _decoded(found[2])
    if _CONTROL.search(key) or len(key.encode()) > 1024:
        raise UrlInvalid("the key of an object has at most 1,024 bytes and no control characters")
    return ObjectUrl(found[1], key)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise UrlInvalid("what is percent-encoded in the URL is not UTF-8") from None
