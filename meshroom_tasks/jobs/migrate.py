"""Bring the schema of the job database to this version's, once its server answers.

    python -m meshroom_tasks.jobs.migrate [--wait SECONDS]

Any number of them may run at once: one migrates, the others wait and find it done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from meshroom_tasks.errors import DatabaseUnavailable
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.store import open_database
from meshroom_tasks.settings import load_settings

_TELL_SECONDS = 5.0


def wait_for(database: Database, seconds: float) -> None:
    """Raises DatabaseUnavailable when the server has not answered in that time."""
    begun = told = time.monotonic()
    while True:
        try:
            return database.ping()
        except DatabaseUnavailable as error:
            now = time.monotonic()
            if now - begun > seconds:
                raise DatabaseUnavailable(
                    f"the database did not answer for {seconds:.0f} s: {error.__cause__}"
                ) from error
            if now - told > _TELL_SECONDS:
                told = now
                print(f"waiting for the database, {now - begun:.0f} of {seconds:.0f} s ...", flush=True)
            time.sleep(0.3)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m meshroom_tasks.jobs.migrate", description=__doc__.splitlines()[0])
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="for the server (default: 60)")
    options = parser.parse_args(arguments)
    database = open_database(load_settings())
    try:
        wait_for(database, options.wait)
        database.upgrade()
    except DatabaseUnavailable as error:
        print(error.message, file=sys.stderr)
        return 1
    finally:
        database.engine.dispose()
    print("the database schema is that of this version")
    return 0


if __name__ == "__main__":
    sys.exit(main())
