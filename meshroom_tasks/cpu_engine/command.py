"""What the two commands share: their exit code for bad usage, and `--version`."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from meshroom_tasks.cpu_engine import __version__

BAD_USAGE = 255


class Parser(argparse.ArgumentParser):
    """Like Meshroom's commands, exits with 255 on bad usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.add_argument("--version", action="version", version=f"cpu-engine {__version__}")

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(BAD_USAGE, f"{self.prog}: error: {message}\n")
