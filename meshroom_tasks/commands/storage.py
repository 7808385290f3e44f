"""`adopt-storage`: what an operator says of an object store that another database filled."""

from __future__ import annotations

import click

from meshroom_tasks.commands.base import ServiceCommand, as_json, operator, print_json
from meshroom_tasks.ownership import adopt, mark_of


@click.command("adopt-storage", cls=ServiceCommand)
@click.option("--dry-run", is_flag=True, help="Only say whose it is.")
@as_json
def adopt_storage(dry_run: bool, as_json: bool) -> None:
    """Make the object store that of this database.

    From then on the sweeper removes what is of no job of this database once it is a day old: also all that another
    database left there. Copy away first what you want to keep.
    """
    parts = operator()
    own = parts.store.installation().id
    before = mark_of(parts.storage) if dry_run else adopt(parts.store, parts.storage)
    if as_json:
        print_json({"dry_run": dry_run, "installation": own, "storage_was_of": before})
        return
    click.echo(f"this database is that of the installation {own}")
    click.echo(f"the object store {'is' if dry_run else 'was'} that of {before or 'none that is known'}")
