"""Photos in, textured 3D mesh out: the service without HTTP."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`celery -A meshroom_tasks` finds its application here; nothing else pays for importing Celery."""
    if name == "app":
        from meshroom_tasks.celery_app import app

        return app
    raise AttributeError(name)
