"""API keys in the database: made, found, used, taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from meshroom_tasks.api_keys import hash_of, id_of, new_key, same_hash
from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.store import JobStore

from .conftest import Clock


def test_a_key_is_found_by_its_id_and_known_by_its_hash(store: JobStore, clock: Clock) -> None:
    made, kept = store.create_key("shop", ["read", "submit"], label="web", lifetime=timedelta(days=1))
    assert store.find_key(made.id) == kept
    assert (kept.tenant, kept.scopes, kept.label) == ("shop", ("submit", "read"), "web")
    assert kept.hash == hash_of(made.text)
    assert kept.expires_at == clock.now + timedelta(days=1)
    assert (kept.is_valid(clock.now), kept.is_valid(clock.now + timedelta(days=1))) == (True, False)
    assert store.find_key("0" * 12) is None


def test_nothing_of_the_secret_is_kept(store: JobStore) -> None:
    made, _ = store.create_key("shop", ["read"])
    secret = made.text.split("_", 2)[2]
    with store.database.snapshot() as connection:
        rows = connection.execute(sa.select(tables.api_key)).all()
    assert secret not in str(rows)


def test_keys_are_listed_by_tenant(store: JobStore, clock: Clock) -> None:
    ids = []
    for tenant in ("a", "b", "a"):
        ids.append(store.create_key(tenant, ["read"])[0].id)
        clock.advance(1)
    assert [key.id for key in store.api_keys()] == ids
    assert [key.id for key in store.api_keys("a")] == [ids[0], ids[2]]


def test_a_key_is_revoked_once(store: JobStore, clock: Clock) -> None:
    made, _ = store.create_key("shop", ["read"])
    first = store.revoke_key(made.id)
    assert (first.revoked_at, first.is_valid(clock.now)) == (clock.now, False)
    clock.advance(60)
    assert store.revoke_key(made.id) == first
    with pytest.raises(NotFound):
        store.revoke_key("0" * 12)


def test_the_last_use_is_written_once_a_minute(store: JobStore, clock: Clock) -> None:
    made, _ = store.create_key("shop", ["read"])
    used = []
    for _ in range(5):
        clock.advance(25)
        key = store.find_key(made.id)
        assert key is not None
        used.append(store.use_is_to_be_noted(key, clock.now))
        store.note_use(key)
        found = store.find_key(made.id)
        assert found is not None
        assert (found.last_used_at == clock.now) is used[-1]
    assert used == [True, False, False, True, False]


@pytest.mark.parametrize(
    "text", ["", "mt_", "mt_0123456789ab_", "mt_0123456789ab_" + "x" * 42, "mt_0123456789AB_" + "x" * 43, "a key", "é"]
)
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert id_of(text) is None


def test_keys_differ_and_carry_their_ids() -> None:
    made = [new_key() for _ in range(100)]
    assert len({key.text for key in made}) == len({key.id for key in made}) == 100
    assert all(id_of(key.text) == key.id for key in made)
    assert same_hash(hash_of(made[0].text), hash_of(made[0].text))
    assert not same_hash(hash_of(made[0].text), hash_of(made[1].text))
