"""Getting the photos of a job: fetched, checked, fingerprinted, kept in storage, laid out for an engine."""

from meshroom_tasks.ingest.inspect import PhotoFacts, inspect_photo
from meshroom_tasks.ingest.limits import IngestLimits
from meshroom_tasks.ingest.photos import Ingested, ingest_photos
from meshroom_tasks.ingest.stored import fetch_photos, photo_key

__all__ = [
    "IngestLimits",
    "Ingested",
    "PhotoFacts",
    "fetch_photos",
    "ingest_photos",
    "inspect_photo",
    "photo_key",
]
