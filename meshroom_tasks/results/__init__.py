"""The results of a job: textured OBJ, GLB, a preview picture and a report."""

from __future__ import annotations

from meshroom_tasks.results.publish import PUBLISHED_NODE_TYPES, Published, ResultInputs, publish, result_key

__all__ = ["PUBLISHED_NODE_TYPES", "Published", "ResultInputs", "publish", "result_key"]
