"""`keys create`, `keys list`, `keys revoke`."""

from __future__ import annotations

import pytest

from meshroom_tasks.api_keys import hash_of, id_of
from meshroom_tasks.commands.keys import keys_group

from .conftest import Refusal, Shell


def test_a_key_is_shown_once(shell: Shell) -> None:
    result = shell.run(keys_group, "create", "--tenant", "shop", "--expires-in", "90d", "--label", "web [1]")
    assert result.exit_code == 0, result.output
    text = result.stdout.strip()
    key_id = id_of(text)
    assert key_id is not None
    assert f"key {key_id} of shop: submit, read, until " in result.stderr
    (kept,) = shell.store.api_keys("shop")
    assert (kept.id, kept.hash) == (key_id, hash_of(text))
    secret = text.split("_", 2)[2]
    for arguments in ([], ["--json"]):
        listed = shell.run(keys_group, "list", *arguments).output
        assert key_id in listed
        assert "web [1]" in listed
        assert secret not in listed
        assert kept.hash not in listed


def test_keys_for_scripts(shell: Shell) -> None:
    made = shell.ask(keys_group, "create", "--scope", "admin")
    assert (made["tenant"], made["scopes"], id_of(made["key"])) == ("default", ["admin"], made["id"])
    shell.ask(keys_group, "create", "--tenant", "b")
    assert [key["tenant"] for key in shell.ask(keys_group, "list")] == ["default", "b"]
    assert [key["tenant"] for key in shell.ask(keys_group, "list", "--tenant", "b")] == ["b"]


def test_keys_are_revoked_by_their_ids(shell: Shell, refusal: Refusal) -> None:
    made = shell.ask(keys_group, "create")
    assert shell.run(keys_group, "revoke", made["id"]).output == f"{made['id']} of default revoked\n"
    assert "revoked" in shell.run(keys_group, "list").output
    assert "there is no key 'none'" in refusal(shell.run(keys_group, "revoke", "none"))


@pytest.mark.parametrize("name", ["", "Shop", "-a", "a b", "a/b", "x" * 65])
def test_a_tenant_has_a_plain_name(shell: Shell, name: str) -> None:
    assert shell.run(keys_group, "create", "--tenant", name).exit_code == 2
