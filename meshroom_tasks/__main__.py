"""`python -m meshroom_tasks`: the terminal client, and all that `celery -A meshroom_tasks` can besides.

So operators' commands work from a checkout that is not installed too. Of `jobs` and `cancel`, which both have, it is
the client's: over HTTP, with a key, on any machine.
"""

from __future__ import annotations

import sys
import tomllib
from importlib import import_module

from celery.bin.celery import celery

from meshroom_tasks.settings import PROJECT
from meshroom_tasks.terminal.program import program


def main() -> int:
    given = sys.argv[1:]
    if given and given[0] in program.commands:
        return int(program(prog_name="python -m meshroom_tasks") or 0)
    if not given or given[0] == "--help":
        program(["--help"], prog_name="python -m meshroom_tasks", standalone_mode=False)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for place in project["entry-points"]["celery.commands"].values():
        module, _, name = place.partition(":")
        celery.add_command(getattr(import_module(module), name))
    return int(celery(args=["-A", "meshroom_tasks", *given], auto_envvar_prefix="CELERY", prog_name="celery") or 0)


if __name__ == "__main__":
    sys.exit(main())
