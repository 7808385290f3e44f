"""`python -m meshroom_tasks` is `celery -A meshroom_tasks`, also from a checkout that is not installed."""

from __future__ import annotations

import sys
import tomllib
from importlib import import_module

from celery.bin.celery import celery

from meshroom_tasks.settings import PROJECT


def main() -> int:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for place in project["entry-points"]["celery.commands"].values():
        module, _, name = place.partition(":")
        celery.add_command(getattr(import_module(module), name))
    return int(
        celery(args=["-A", "meshroom_tasks", *sys.argv[1:]], auto_envvar_prefix="CELERY", prog_name="celery") or 0
    )


if __name__ == "__main__":
    sys.exit(main())
