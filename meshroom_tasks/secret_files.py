"""The secrets of a deployment, as files that only its services read: given ones as they are, random ones for the rest.

    python -m meshroom_tasks.secret_files /run/secrets

What is given in the environment is written anew each time; what was made once is kept. So no deployment runs with a
secret that stands in a document.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

LEAST_LENGTH = 16
"""Of secrets that guard what can be reached from outside."""

_OUTWARD = ("X_API_KEY", "FLOWER_PASSWORD")
_MADE = (*_OUTWARD, "BROKER_PASSWORD", "POSTGRES_PASSWORD")
_STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_ONLY_GIVEN = ("WEBHOOK_SECRET", "BROKER_URL", "AWS_SESSION_TOKEN")


def write_secrets(folder: Path, given: Mapping[str, str]) -> list[str]:
    """Returns the names of those that were made now. Raises ValueError for one that is too short to be safe."""
    for name in _OUTWARD:
        if 0 < len(given.get(name, "")) < LEAST_LENGTH:
            raise ValueError(
                f"{name} has fewer than {LEAST_LENGTH} characters: take a longer one, or leave it empty and one is made"
            )
    made = []
    bundled_store = not given.get("AWS_ENDPOINT_URL")
    for name in (*_MADE, *(_STORE_KEYS if bundled_store else ())):
        if given.get(name):
            _write(folder, name, given[name])
        elif not _path(folder, name).exists():
            _write(folder, name, secrets.token_hex(24))
            made.append(name)
    for name in (*_ONLY_GIVEN, *(() if bundled_store else _STORE_KEYS)):
        _write(folder, name, given.get(name, ""))
    _write(folder, "DATABASE_URL", given.get("DATABASE_URL") or _bundled_database(folder))
    _write(folder, "store_identities.json", json.dumps(_identities(folder)))
    return made


def _bundled_database(folder: Path) -> str:
    password = quote(_path(folder, "POSTGRES_PASSWORD").read_text(), safe="")
    return f"postgresql://meshroom:{password}@postgres:5432/jobs"


def _identities(folder: Path) -> dict[str, object]:
    """Of the bundled SeaweedFS: one, which may do everything; where another store is used, one that nobody knows."""
    key, secret = (_path(folder, name).read_text() or secrets.token_hex(24) for name in _STORE_KEYS)
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    owner = {"name": "meshroom-tasks", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
    return {"identities": [owner]}


def _path(folder: Path, name: str) -> Path:
    return folder / name.lower()


def _write(folder: Path, name: str, value: str) -> None:
    """Readable by the owner alone, and there whole or not at all. An empty value means that there is none."""
    path = _path(folder, name)
    temporary = path.with_name(f".{path.name}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)
    temporary.rename(path)


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m meshroom_tasks.secret_files FOLDER", file=sys.stderr)
        return 2
    try:
        made = write_secrets(Path(arguments[0]), os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"made: {', '.join(made)}" if made else "nothing had to be made")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
