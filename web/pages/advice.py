"""What to do about a warning or a failure, beside what its message says. Pure; the whole list is docs/failures.md."""

from __future__ import annotations

_FOR_WARNINGS = {
    "photos_not_used": "Take more photos between those that were left out and their neighbours; about 70 % overlap.",
    "focal_length_missing": "Send photos as the camera wrote them, or say the field of view when you submit.",
    "sensor_unknown": "Say the sensor's width in mm when you submit: it makes shape and scale more exact.",
    "settings_lowered": "The result is coarser than you asked for. Choose lower settings, or a larger worker.",
    "larger_worker": "Nothing to do: a worker with more memory took over.",
    "duplicate_image": "Nothing to do: of photos that are the same, one is used.",
    "image_skipped": "Send this photo again as the camera wrote it, if you need it.",
    "files_ignored": "Nothing to do, unless photos are among them: JPEG, PNG, TIFF and WebP are taken.",
    "handoff_incomplete": "Nothing to do now. If it comes again, tell whoever runs the service.",
}

_FOR_FAILURES = {
    "image_unreachable": "Make the addresses reachable without a login, or upload the photos instead.",
    "image_invalid": "Send the photos that are named as the camera wrote them.",
    "image_type_unsupported": "Convert them to JPEG, PNG, TIFF or WebP.",
    "image_too_large": "Send smaller photos.",
    "job_too_large": "Send fewer or smaller photos.",
    "too_few_images": "Send at least three different photos; twenty or more make a model.",
    "photos_without_calibration": "Say the field of view of the camera when you submit.",
    "photos_do_not_overlap": "Take more photos of a thing that stands still, each overlapping the last by about 70 %.",
    "too_few_cameras_registered": "Take more photos in between: walk around in small steps, about 70 % overlap.",
    "no_surface": "Take sharper photos of a matt, textured object, closer and from more sides.",
    "gpu_memory_exhausted": "Choose lower settings, or smaller photos.",
    "memory_exhausted": "Choose lower settings, or fewer or smaller photos.",
    "engine_timeout": "Choose lower settings, or fewer photos.",
    "engine_crashed": "Look at the lines below; run it again from this stage. If it comes again, report it.",
    "engine_failed": "Look at the lines below; they say what the engine did not like.",
    "worker_lost": "Look at the machine, then run it again: what was finished is kept.",
    "disk_full": "Make room on the worker, then run it again: what was finished is kept.",
    "storage_unavailable": "Look at the object store, then run it again: what was finished is kept.",
    "object_missing": "Run it again from the stage before.",
    "conversion_failed": "Run it again from `results`. If it comes again, leave this output out of a new job.",
    "engine_mismatch": "Run it again from `plan`: the workers have another version of the engine now.",
    "job_cancelled": "Run it again whenever you like: what was finished is kept.",
}


def for_warning(code: str) -> str:
    return _FOR_WARNINGS.get(code, "")


def for_failure(code: str) -> str:
    return _FOR_FAILURES.get(
        code, "Run it again: what was finished is kept. If it comes again, tell whoever runs the service."
    )
