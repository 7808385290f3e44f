"""Running `meshroom_batch` and `meshroom_compute`: process tree, log, progress, typed errors."""

from meshroom_tasks.engine.driver import Engine
from meshroom_tasks.engine.failures import warnings
from meshroom_tasks.engine.markers import kill_leftovers
from meshroom_tasks.engine.process import Watch
from meshroom_tasks.engine.wardens import release

__all__ = ["Engine", "Watch", "kill_leftovers", "release", "warnings"]
