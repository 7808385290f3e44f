from __future__ import annotations

from meshroom_tasks.commands.storage import adopt_storage
from meshroom_tasks.ownership import MARK, is_ours
from tests.commands.conftest import Shell


def test_a_store_of_another_is_adopted(shell: Shell) -> None:
    shell.operator.storage.put_bytes(MARK, b"another")
    own = shell.store.installation().id
    about = {"installation": own, "storage_was_of": "another"}
    assert shell.ask(adopt_storage, "--dry-run") == {"dry_run": True, **about}
    assert not is_ours(shell.store, shell.operator.storage)
    assert shell.ask(adopt_storage) == {"dry_run": False, **about}
    assert is_ours(shell.store, shell.operator.storage)


def test_it_says_whose_it_was(shell: Shell) -> None:
    own = shell.store.installation().id
    assert shell.run(adopt_storage).output.splitlines() == [
        f"this database is that of the installation {own}",
        "the object store was that of none that is known",
    ]
    assert "the object store is that of " + own in shell.run(adopt_storage, "--dry-run").output
