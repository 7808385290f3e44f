"""The terminal client: `python -m meshroom_tasks submit PHOTOS...` and its like, over HTTP."""
