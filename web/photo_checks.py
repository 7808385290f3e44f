"""What can be said of `image_urls` before any photo is fetched: their syntax, addresses, and uploads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from meshroom_tasks.egress import Egress, check_url
from meshroom_tasks.errors import (
    AddressNotAllowed,
    NotFound,
    RequestRefused,
    TooFewImages,
    UploadIncomplete,
    UploadUnknown,
)
from meshroom_tasks.jobs.uploads import Upload, UploadFile
from meshroom_tasks.photo_urls import ObjectUrl, UploadUrl, parse_photo_url
from meshroom_tasks.uploads import arrived
from web.auth import caller
from web.pipeline_checks import Found
from web.services import Services

_NAMED = 50


@dataclass
class PhotoChecks:
    """`count`: photos known of; `open_ended`: some of the URLs stand for more that nobody has counted yet."""

    parts: Services
    count: int = 0
    open_ended: bool = False
    uploads: dict[str, Upload] = field(default_factory=dict)
    _there: dict[str, frozenset[int]] = field(default_factory=dict)

    def faults(self, urls: Sequence[str]) -> Iterator[Found]:
        """What is wrong, each with its place."""
        settings = self.parts.settings
        if len(urls) > settings.max_images:
            yield self._too_many(len(urls))
            return
        egress = Egress.to(settings.image_private_hosts)
        for index, url in enumerate(urls):
            try:
                self._check(url, egress)
            except RequestRefused as error:
                self.count += 1
                self.open_ended |= isinstance(error, UploadUnknown | UploadIncomplete)
                yield f"/image_urls/{index}", error
        if self.count > settings.max_images:
            yield self._too_many(self.count)
        if self.count < settings.min_images and not self.open_ended:
            text = f"a reconstruction needs at least {settings.min_images} photos, and {self.count} were given"
            yield "/image_urls", TooFewImages(text)

    def _check(self, url: str, egress: Egress) -> None:
        named = parse_photo_url(url)
        if isinstance(named, UploadUrl):
            files = self._files(named)
            self.open_ended |= any(file.is_zip for file in files)
            self.count += sum(not file.is_zip for file in files)
        elif isinstance(named, ObjectUrl):
            if named.bucket not in self.parts.settings.photo_buckets:
                raise AddressNotAllowed
            self.open_ended |= named.is_prefix
            self.count += not named.is_prefix
        else:
            check_url(url, egress)
            self.count += 1

    def _files(self, named: UploadUrl) -> list[UploadFile]:
        upload, there = self._upload(named.upload_id)
        chosen = {number: file for number, file in enumerate(upload.files) if named.name in (None, file.name)}
        if not chosen:
            raise UploadUnknown(f"the upload has no file {named.name!r}" if named.name else "the upload has no files")
        missing = [file.name for number, file in chosen.items() if number not in there]
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise UploadIncomplete(f"{len(missing)} files have not arrived: {', '.join(missing[:_NAMED])}{more}")
        return list(chosen.values())

    def _upload(self, upload_id: str) -> tuple[Upload, frozenset[int]]:
        if upload_id not in self.uploads:
            try:
                upload = self.parts.store.upload(upload_id, caller().tenant)
            except NotFound as error:
                raise UploadUnknown(error.message) from error
            self._there[upload_id] = arrived(self.parts.storage, upload)
            self.uploads[upload_id] = upload
        return self.uploads[upload_id], self._there[upload_id]

    def _too_many(self, given: int) -> Found:
        text = f"a job may have at most {self.parts.settings.max_images} photos, and {given} were given"
        return "/image_urls", RequestRefused(text)
