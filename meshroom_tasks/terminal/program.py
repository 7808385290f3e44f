"""The commands of the terminal client together, as `python -m meshroom_tasks` offers them."""

from __future__ import annotations

import click

from meshroom_tasks.terminal import commands
from meshroom_tasks.terminal.reconstruct import reconstruct


@click.group(epilog="Those who run the service have more: celery -A meshroom_tasks --help")
def program() -> None:
    """Photos in, textured 3D mesh out: by a service, here or elsewhere, or on this machine alone."""


for command in (
    commands.submit,
    commands.list_jobs,
    commands.watch,
    commands.logs,
    commands.cancel,
    commands.download,
    reconstruct,
):
    program.add_command(command)
