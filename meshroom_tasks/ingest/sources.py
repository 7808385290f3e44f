"""From `image_urls` to single photos: addresses, files of uploads, files in ZIPs, objects in buckets of clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipInfo

from meshroom_tasks.errors import (
    AddressNotAllowed,
    ImageTooLarge,
    ImageUnreachable,
    ObjectMissing,
    PhotoError,
    RequestRefused,
    UploadDamaged,
    UploadIncomplete,
    UploadUnknown,
    ZipInvalid,
)
from meshroom_tasks.ingest.copying import ByteBudget, Copier, Downloaded
from meshroom_tasks.ingest.download import Downloader
from meshroom_tasks.ingest.folders import ignored, is_litter, is_photo_name
from meshroom_tasks.ingest.limits import IngestLimits
from meshroom_tasks.ingest.threads import Stop, completed
from meshroom_tasks.ingest.zips import PhotoZip, opened_zip
from meshroom_tasks.jobs.uploads import Upload, UploadFile
from meshroom_tasks.photo_urls import ObjectUrl, UploadUrl, parse_photo_url
from meshroom_tasks.storage.base import ClientPhotos, Storage

_MOST_OBJECTS = 10_000
"""Below one prefix, photos or not."""


@dataclass(frozen=True)
class Source:
    """One photo that is to be fetched into a file.

    `url`: the index of what named it in `image_urls`. `name`: what its client calls it; empty where the URL says so.
    """

    url: int
    fetch: Callable[[Path], Downloaded]
    name: str = ""

    @property
    def place(self) -> str:
        return f"image_urls[{self.url}]" + (f" ({self.name})" if self.name else "")


@dataclass
class Sources:
    """Finds the photos of one job. The ZIPs among them stay open, in `folder`, until `files` is closed."""

    downloader: Downloader
    storage: Storage
    client_photos: ClientPhotos | None
    limits: IngestLimits
    budget: ByteBudget
    folder: Path
    uploads: Mapping[str, Upload]
    files: ExitStack
    photo_copier: Copier = field(default_factory=Copier)
    zip_copier: Copier = field(default_factory=Copier)
    warnings: list[Mapping[str, Any]] = field(default_factory=list)

    def stop(self) -> None:
        """Make the transfers of all photos end at once."""
        self.downloader.stop()
        self.photo_copier.stop()

    def find(self, urls: Sequence[str], stop: Stop) -> list[Source]:
        """All photos in the order of `urls`, those that one URL stands for by name.

        Raises a PhotoError or RequestRefused that names the URL for one that leads to nothing usable.
        """
        found: dict[int, list[Source]] = {}
        with closing(completed(self._of_url, enumerate(urls), stop, self.zip_copier.stop)) as results:
            for index, sources in results:
                found[index] = sources
        return [source for index in sorted(found) for source in found[index]]

    def _of_url(self, item: tuple[int, str]) -> tuple[int, list[Source]]:
        index, url = item
        try:
            named = parse_photo_url(url)
            if isinstance(named, UploadUrl):
                return index, list(self._of_upload(index, named))
            if isinstance(named, ObjectUrl):
                return index, list(self._of_bucket(index, named))
        except (PhotoError, RequestRefused) as error:
            reason = error.message.rstrip(".")
            told = {"index": index, "code": error.code, "reason": reason}
            context = {**error.context, "images": [told]}
            raise type(error)(f"image_urls[{index}] cannot be used: {reason}.", **context) from error
        return index, [Source(index, partial(self.downloader.fetch, url))]

    def _of_upload(self, index: int, named: UploadUrl) -> Iterator[Source]:
        upload = self.uploads.get(named.upload_id)
        if upload is None:
            raise UploadUnknown("the upload has expired; send the files again")
        chosen = [item for item in enumerate(upload.files) if named.name in (None, item[1].name)]
        if not chosen:
            raise UploadUnknown(f"the upload has no file {named.name!r}")
        for number, file in chosen:
            if file.is_zip:
                yield from self._of_zip(index, upload.key(number), file)
            else:
                yield Source(index, partial(self._uploaded, upload.key(number), file), file.name)

    def _of_zip(self, index: int, key: str, file: UploadFile) -> Iterator[Source]:
        path = self.folder / f"{index:04d}_{key.rpartition('/')[2]}.zip"
        try:
            with self._reading(key) as stream:
                _check(file, self.zip_copier.copy(stream, path, self.limits.max_job_bytes))
            archive = self.files.enter_context(opened_zip(path, self.limits))
        except ImageTooLarge as error:
            raise ZipInvalid(f"{file.name}: {error.message}", **error.context) from error
        except (PhotoError, RequestRefused) as error:
            raise type(error)(f"{file.name}: {error.message}", **error.context) from error
        self.warnings += ignored([f"{file.name}/{name}" for name in archive.others])
        for entry in archive.photos:
            yield Source(index, partial(self._unpacked, archive, entry), f"{file.name}/{entry.filename}")

    def _of_bucket(self, index: int, named: ObjectUrl) -> Iterator[Source]:
        if self.client_photos is None:
            raise AddressNotAllowed
        if not named.is_prefix:
            yield Source(index, partial(self._of_client, self.client_photos, named.bucket, named.key))
            return
        keys = list(islice(self.client_photos.keys(named.bucket, named.key), _MOST_OBJECTS + 1))
        if len(keys) > _MOST_OBJECTS:
            raise RequestRefused(f"there are more than {_MOST_OBJECTS:,} objects below it; name a longer prefix")
        names = {key: key.removeprefix(named.key) for key in keys if not is_litter(key.removeprefix(named.key))}
        chosen = {key: name for key, name in names.items() if is_photo_name(name)}
        if not chosen:
            raise ImageUnreachable("there are no photos below it")
        self.warnings += ignored([name for key, name in names.items() if key not in chosen])
        for key, name in chosen.items():
            yield Source(index, partial(self._of_client, self.client_photos, named.bucket, key), name)

    def _of_client(self, photos: ClientPhotos, bucket: str, key: str, path: Path) -> Downloaded:
        with closing(photos.open(bucket, key)) as stream:
            return self.photo_copier.copy(stream, path, self.limits.max_image_bytes, self.budget)

    def _uploaded(self, key: str, file: UploadFile, path: Path) -> Downloaded:
        with self._reading(key) as stream:
            return _check(file, self.photo_copier.copy(stream, path, self.limits.max_image_bytes, self.budget))

    def _unpacked(self, archive: PhotoZip, entry: ZipInfo, path: Path) -> Downloaded:
        with archive.reading(entry) as stream:
            return self.photo_copier.copy(stream, path, self.limits.max_image_bytes, self.budget)

    @contextmanager
    def _reading(self, key: str) -> Iterator[BinaryIO]:
        try:
            with closing(self.storage.open(key)) as stream:
                yield stream
        except ObjectMissing as error:
            raise UploadIncomplete("it has not arrived, or is there no more; send it again") from error


def _check(file: UploadFile, copied: Downloaded) -> Downloaded:
    """Raises UploadDamaged where it is not what was announced."""
    if copied.size != file.size:
        raise UploadDamaged(f"it has {copied.size:,} bytes, and {file.size:,} were announced; send it again")
    if file.sha256 is not None and copied.sha256 != file.sha256:
        raise UploadDamaged("its sha256 is not the one that was announced; send it again")
    return copied
