"""`sweep`: one round of what the sweeper does all the time."""

from __future__ import annotations

import click

from meshroom_tasks.commands.base import ServiceCommand, as_json, operator, print_json
from meshroom_tasks.sweeper import sweep


@click.command("sweep", cls=ServiceCommand)
@as_json
def sweep_once(as_json: bool) -> None:
    """Take back the steps of silent workers and send again the hints that nobody heeded, once."""
    swept = sweep(operator().store)
    if as_json:
        print_json(swept)
    else:
        click.echo(f"{swept.reclaimed} steps taken back, {swept.renewed} hints renewed, {swept.sent} sent")
