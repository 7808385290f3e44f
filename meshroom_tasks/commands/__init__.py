"""The service's own sub-commands of `celery -A meshroom_tasks`, for those who run it.

Each is an entry point of the group `celery.commands`; `python -m meshroom_tasks` offers them without installation.
"""
