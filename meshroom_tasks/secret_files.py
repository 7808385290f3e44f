"""The secrets of a deployment, as files that only its services read: given ones as they are, random ones for the rest.

    python -m meshroom_tasks.secret_files /run/secrets web=/run/secrets-web flower=/run/secrets-flower

What is given in the environment is written anew each time; what was made once is kept. So no deployment runs with a
secret that stands in a document. What can be reached from outside gets a folder of its own with what it needs and no
more; the web app has keys of its own for the bundled store, which change nothing but what is the web app's.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from meshroom_tasks.settings import Settings
from meshroom_tasks.storage.identities import identities

LEAST_LENGTH = 16
"""Of secrets that guard what can be reached from outside."""

_OUTWARD = ("X_API_KEY", "FLOWER_PASSWORD", "METRICS_TOKEN", "SESSION_SECRET")
_MADE = ("X_API_KEY", "FLOWER_PASSWORD", "SESSION_SECRET", "BROKER_PASSWORD", "POSTGRES_PASSWORD")
_BUCKET = Settings.model_fields["aws_bucket_name"].default
_STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_WEB_STORE_KEYS = ("WEB_AWS_ACCESS_KEY_ID", "WEB_AWS_SECRET_ACCESS_KEY")
_BROKER = ("BROKER_URL", "BROKER_PASSWORD")
_NEEDED: dict[str, dict[str, str]] = {
    "web": {
        **{name: name for name in ("X_API_KEY", "METRICS_TOKEN", "SESSION_SECRET")},
        **{name: name for name in ("DATABASE_URL", *_BROKER, "AWS_SESSION_TOKEN")},
        **dict(zip(_STORE_KEYS, _WEB_STORE_KEYS, strict=True)),
    },
    "flower": {name: name for name in ("FLOWER_PASSWORD", *_BROKER)},
}
"""Of each service with a folder of its own: its files, and what they are copies of."""
_ONLY_GIVEN = ("METRICS_TOKEN", "WEBHOOK_SECRET", "BROKER_URL", "AWS_SESSION_TOKEN")


def write_secrets(folder: Path, given: Mapping[str, str]) -> list[str]:
    """Returns the names of those that were made now. Raises ValueError for one that is too short to be safe."""
    for name in _OUTWARD:
        if 0 < len(given.get(name, "")) < LEAST_LENGTH:
            raise ValueError(
                f"{name} has fewer than {LEAST_LENGTH} characters: take a longer one, or leave it empty and one is made"
            )
    made = []
    bundled_store = not given.get("AWS_ENDPOINT_URL")
    for name in (*_MADE, *((*_STORE_KEYS, *_WEB_STORE_KEYS) if bundled_store else ())):
        if given.get(name):
            _write(folder, name, given[name])
        elif not _path(folder, name).exists():
            _write(folder, name, secrets.token_hex(24))
            made.append(name)
    for name in (*_ONLY_GIVEN, *(() if bundled_store else _STORE_KEYS)):
        _write(folder, name, given.get(name, ""))
    if not bundled_store:
        for name, instead in zip(_WEB_STORE_KEYS, _STORE_KEYS, strict=True):
            _write(folder, name, given.get(name) or given.get(instead, ""))
    _write(folder, "DATABASE_URL", given.get("DATABASE_URL") or _bundled_database(folder))
    _write(folder, "store_identities.json", json.dumps(_identities(folder, given)))
    return made


def hand_on(folder: Path, service: str, to: Path) -> None:
    """Give a service what it needs of the secrets in `folder`."""
    for name, source in _NEEDED[service].items():
        _write(to, name, _path(folder, source).read_text())


def _bundled_database(folder: Path) -> str:
    password = quote(_path(folder, "POSTGRES_PASSWORD").read_text(), safe="")
    return f"postgresql://meshroom:{password}@postgres:5432/jobs"


def _identities(folder: Path, given: Mapping[str, str]) -> dict[str, object]:
    """Of the bundled SeaweedFS; where another store is used, ones that nobody knows."""
    owner, web = (
        (_secret_or_random(folder, key), _secret_or_random(folder, secret))
        for key, secret in (_STORE_KEYS, _WEB_STORE_KEYS)
    )
    place = urlsplit(given.get("STORAGE_URL") or f"s3://{given.get('AWS_BUCKET_NAME') or _BUCKET}")
    return identities(owner, web, place.netloc, place.path)


def _secret_or_random(folder: Path, name: str) -> str:
    return _path(folder, name).read_text() or secrets.token_hex(24)


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
    folder, *others = arguments or [""]
    services = dict(other.partition("=")[::2] for other in others)
    if not folder or not all(services.values()) or not services.keys() <= _NEEDED.keys():
        print(f"usage: python -m meshroom_tasks.secret_files FOLDER [{'|'.join(_NEEDED)}=FOLDER ...]", file=sys.stderr)
        return 2
    try:
        made = write_secrets(Path(folder), os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for service, to in services.items():
        hand_on(Path(folder), service, Path(to))
    print(f"made: {', '.join(made)}" if made else "nothing had to be made")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
