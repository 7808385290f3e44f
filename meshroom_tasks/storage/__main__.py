"""`python -m meshroom_tasks.storage`: make the bucket if it is missing, and see that objects can be written."""

from __future__ import annotations

import sys

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.settings import current_settings
from meshroom_tasks.storage import open_storage


def main() -> int:
    try:
        open_storage(current_settings()).check()
    except ServiceError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
