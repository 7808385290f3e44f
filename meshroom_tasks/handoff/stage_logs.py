"""The logs of finished chunks in the object store, where clients can read them after the workspace is gone."""

from __future__ import annotations

from pathlib import Path

from meshroom_tasks.storage import Storage


def log_key(job_id: str, node: str, chunk: int) -> str:
    return f"jobs/{job_id}/logs/{node}/{chunk}.log"


def log_path(folder: Path, chunk: int, *, chunked: bool) -> Path:
    """The log that the engine writes for a chunk, in its stage folder."""
    return folder / (f"{chunk}.log" if chunked else "log")


def save_log(storage: Storage, folder: Path, *, job_id: str, node: str, chunk: int, chunked: bool) -> str | None:
    """Keep a chunk's log from its stage folder (or unpacked entry); returns its key, None when there is no log."""
    path = log_path(folder, chunk, chunked=chunked)
    if not path.is_file():
        return None
    key = log_key(job_id, node, chunk)
    storage.put_file(key, path, media_type="text/plain; charset=utf-8")
    return key
