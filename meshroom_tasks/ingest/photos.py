"""From a list of URLs to checked photos in storage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from meshroom_tasks.errors import JobTooLarge, PhotoError, RequestRefused, ServiceError, TooFewImages
from meshroom_tasks.handoff.disk import disk_errors
from meshroom_tasks.ingest.copying import ByteBudget
from meshroom_tasks.ingest.download import Downloader
from meshroom_tasks.ingest.inspect import inspect_photo
from meshroom_tasks.ingest.limits import IngestLimits
from meshroom_tasks.ingest.sources import Source, Sources
from meshroom_tasks.ingest.stored import digest_of, store_photos
from meshroom_tasks.ingest.threads import Stop, completed
from meshroom_tasks.jobs.records import Photo
from meshroom_tasks.jobs.uploads import Upload
from meshroom_tasks.storage.base import ClientPhotos, Storage

_ENOUGH_BAD = 20
"""Where bad photos fail the job, the rest is not tried after so many: dead servers take minutes each."""

NO_UPLOADS: Mapping[str, Upload] = {}

_FETCHING = 0.9
"""The part of the progress that fetching makes up; storing is the rest."""


@dataclass(frozen=True)
class Ingested:
    """`photos` in the order of their URLs without repeats; `warnings` as JSON objects with a `code`.

    `given`: how many photos there were, with bad ones and repeats.
    """

    photos: tuple[Photo, ...]
    photos_digest: str
    warnings: tuple[Mapping[str, Any], ...]
    given: int


@dataclass(frozen=True)
class _Good:
    photo: Photo
    path: Path


@dataclass(frozen=True)
class _Bad:
    index: int
    source: Source
    error: ServiceError

    @property
    def reason(self) -> str:
        return self.error.message.rstrip(".")

    @property
    def told(self) -> dict[str, Any]:
        return {"index": self.index, **({"name": self.source.name} if self.source.name else {})}


def ingest_photos(
    urls: Sequence[str],
    *,
    session: requests.Session,
    storage: Storage,
    limits: IngestLimits,
    scratch: Path,
    progress: Callable[[float], None],
    stop: Stop,
    uploads: Mapping[str, Upload] = NO_UPLOADS,
    client_photos: ClientPhotos | None = None,
    use: Callable[[str], None] = lambda _: None,
) -> Ingested:
    """Fetch the photos, check each, drop repeats, and put them in storage.

    `session` is a guarded one. `uploads`: those that the job may read, by id. `client_photos`: where `s3://` leads;
    None: nowhere. `use` is told the digest of the photos before anybody looks what storage has of them. `scratch`
    holds the files meanwhile. `progress` gets 0 to 1. `stop` is asked several times a second for a reason to stop,
    which is raised then.

    A bad photo raises its error (a PhotoError or RequestRefused), with all bad ones in the context as
    `images: [{index, name, code, reason}]` (a name where the URL does not say it), unless `limits.skip_bad_images`.
    Raises TooFewImages where fewer distinct ones than `limits.min_images` remain; JobTooLarge; what is wrong with a
    URL that stands for several; DiskFull, StorageUnavailable.
    """
    with disk_errors():
        scratch.mkdir(parents=True, exist_ok=True)
    budget = ByteBudget(limits.max_job_bytes)
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=scratch) as name, ExitStack() as files:
        folder = Path(name)
        downloader = Downloader(session, limits, budget)
        places = Sources(downloader, storage, client_photos, limits, budget, folder, uploads, files)
        sources = places.find(urls, stop)
        given = len(sources)
        _check_count(given, limits)
        good, bad = _fetch_all(sources, places, folder, progress, stop)
        distinct, repeats = _distinct(good)
        if bad and (not limits.skip_bad_images or len(distinct) < limits.min_images):
            raise _bad_photos(bad, given)
        if len(distinct) < limits.min_images:
            raise _too_few(len(distinct), given, limits.min_images)
        photos = tuple(item.photo for item in distinct)
        photos_digest = digest_of(photos)
        use(photos_digest)
        store_photos(
            storage,
            photos_digest,
            [(item.photo, item.path) for item in distinct],
            progress=lambda done: progress(_FETCHING + (1 - _FETCHING) * done),
            stop=stop,
        )
    skipped = ({"code": "image_skipped", **b.told, "error": b.error.code, "reason": b.reason} for b in bad)
    return Ingested(photos, photos_digest, (*repeats, *skipped, *places.warnings), given)


def _check_count(given: int, limits: IngestLimits) -> None:
    if given < limits.min_images:
        raise _too_few(given, given, limits.min_images)
    if given > limits.max_images:
        raise RequestRefused(
            f"{given} photos were given; send at most {limits.max_images}.", given=given, max_images=limits.max_images
        )


def _too_few(distinct: int, given: int, needed: int) -> TooFewImages:
    return TooFewImages(
        f"Only {distinct} different photos were given (of {given} in all); send at least {needed}, each taken from "
        "another position.",
        distinct=distinct,
        given=given,
        needed=needed,
    )


def _fetch_all(
    sources: Sequence[Source], places: Sources, folder: Path, progress: Callable[[float], None], stop: Stop
) -> tuple[list[_Good], list[_Bad]]:
    """The good photos and the bad ones, each in the order of their sources; not all where the job is lost anyway."""
    limits = places.limits
    bearable = len(sources) - limits.min_images if limits.skip_bad_images else _ENOUGH_BAD - 1
    good: list[_Good] = []
    bad: list[_Bad] = []

    def fetch(item: tuple[int, Source]) -> _Good | _Bad:
        index, source = item
        try:
            return _fetch_one(index, source, folder, limits)
        except JobTooLarge:
            raise
        except (PhotoError, RequestRefused) as error:
            return _Bad(index, source, error)

    with closing(completed(fetch, enumerate(sources), stop, places.stop)) as results:
        for result in results:
            if isinstance(result, _Good):
                good.append(result)
            else:
                bad.append(result)
                if len(bad) > bearable:
                    break
            progress(_FETCHING * (len(good) + len(bad)) / len(sources))
    return sorted(good, key=lambda item: item.photo.index), sorted(bad, key=lambda item: item.index)


def _fetch_one(index: int, source: Source, folder: Path, limits: IngestLimits) -> _Good:
    part = folder / f"{index:04d}.part"
    got = source.fetch(part)
    facts = inspect_photo(part, max_pixels=limits.max_image_pixels)
    name = f"{index:04d}_{got.sha256[:8]}.{facts.extension}"
    path = part.rename(folder / name)
    photo = Photo(index, name, got.sha256, got.size, facts.width, facts.height, facts.media_type, source.name)
    return _Good(photo, path)


def _distinct(good: Sequence[_Good]) -> tuple[list[_Good], list[dict[str, Any]]]:
    """The photos without repeats of the same bytes, the first of each kept, and a warning for each repeat."""
    first: dict[str, _Good] = {}
    warnings = []
    for item in good:
        kept = first.setdefault(item.photo.sha256, item)
        if kept is not item:
            warnings.append({"code": "duplicate_image", "index": item.photo.index, "of": kept.photo.index})
    return list(first.values()), warnings


def _bad_photos(bad: Sequence[_Bad], given: int) -> ServiceError:
    """The error of the first bad photo, with all of them in its context."""
    first = bad[0]
    count = f"; {len(bad)} of the {given} photos are bad" if len(bad) > 1 else ""
    images = [{**item.told, "code": item.error.code, "reason": item.reason} for item in bad]
    context = {**first.error.context, "images": images, "given": given}
    return type(first.error)(f"{first.source.place} cannot be used: {first.reason}{count}.", **context)
