"""What a job may bring."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshroom_tasks.settings import Settings


@dataclass(frozen=True)
class IngestLimits:
    """Sizes in bytes, times in seconds; `image_seconds` bounds one attempt to fetch one photo.

    `skip_bad_images`: a bad photo becomes a warning as long as `min_images` others remain, instead of an error.
    """

    min_images: int = 3
    max_images: int = 500
    max_image_bytes: int = 100_000_000
    max_image_pixels: int = 200_000_000
    max_job_bytes: int = 20_000_000_000
    image_seconds: float = 120.0
    skip_bad_images: bool = False

    def within(self, max_images: int, max_job_bytes: int) -> IngestLimits:
        """With the tenant's own limits, where those are lower; 0: it has none."""
        return replace(
            self,
            max_images=min(self.max_images, max_images or self.max_images),
            max_job_bytes=min(self.max_job_bytes, max_job_bytes or self.max_job_bytes),
        )

    @classmethod
    def of(cls, settings: Settings) -> IngestLimits:
        return cls(
            min_images=settings.min_images,
            max_images=settings.max_images,
            max_image_bytes=settings.max_image_bytes,
            max_image_pixels=settings.max_image_pixels,
            max_job_bytes=settings.max_job_bytes,
            image_seconds=settings.image_timeout_seconds,
            skip_bad_images=settings.skip_bad_images,
        )
