"""From the text of a key to whose it is. What was found is remembered for seconds, so that a key that was taken back is
wrong everywhere soon, and a busy client costs no query for each request.

Wrong keys are counted by address, and beyond a rate refused with 429. That does not touch others there: a key that was
right before, and every key of the database, is judged at any rate, since 256 random bits are not found by trying. Only
guesses at X_API_KEY, which somebody chose, go unheard until the rate has fallen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from meshroom_tasks.api_keys import DEFAULT_TENANT, SCOPES, Scope, hash_of, id_of, same_hash
from meshroom_tasks.errors import ServiceError, TooManyRequests
from meshroom_tasks.jobs.keys import ApiKey
from meshroom_tasks.logs import logger
from meshroom_tasks.retry_policies import NEVER
from web.rates import Rate, neighbourhood

REMEMBERED_SECONDS = 5.0
BOOTSTRAP = "X_API_KEY"

_MOST_REMEMBERED = 10_000

log = logger(__name__)


@dataclass(frozen=True)
class Caller:
    """Whose request it is. `key_id`: that of the key, or `BOOTSTRAP`."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str


class KeyRefused(ServiceError):
    code = "unauthorized"
    retry = NEVER
    http_status = 401

    def __init__(self) -> None:
        super().__init__("send a valid API key in the header X-API-Key")


class TooManyWrongKeys(TooManyRequests):
    code = "too_many_wrong_keys"


class KeyStore(Protocol):
    """The part of the job store that keeps keys."""

    def find_key(self, key_id: str) -> ApiKey | None: ...
    def use_is_to_be_noted(self, key: ApiKey, now: datetime) -> bool: ...
    def note_use(self, key: ApiKey) -> None: ...


@dataclass(frozen=True)
class _Known:
    """A key that was right at `judged` (monotonic); `key`: None for the bootstrap key."""

    key: ApiKey | None
    judged: float


class Keyring:
    """`bootstrap`: the key that the settings hold; it is of the default tenant and allows everything."""

    def __init__(self, bootstrap: str, wrong_keys_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._bootstrap = hash_of(bootstrap)
        self._wrong = Rate(wrong_keys_per_minute)
        self._known: dict[str, _Known] = {}
        self._clock = clock

    def caller(self, sent: str | None, address: str | None, store: KeyStore) -> Caller:
        """Raises KeyRefused; TooManyWrongKeys where too many wrong keys came from there; DatabaseUnavailable."""
        if not sent:
            raise KeyRefused
        hashed = hash_of(sent)
        known = self._known.get(hashed)
        if known is None or not self._is_fresh(known):
            known = self._judge(sent, hashed, neighbourhood(address), known is not None, store)
        return _caller(known.key)

    def named(self, key_id: str, is_the_one: Callable[[str], bool], store: KeyStore) -> Caller:
        """The caller whose key has this id and a hash that `is_the_one` recognises. Raises KeyRefused."""
        if key_id == BOOTSTRAP and is_the_one(self._bootstrap):
            return _caller(None)
        key = store.find_key(key_id) if key_id != BOOTSTRAP else None
        if key is None or not is_the_one(key.hash) or not key.is_valid(datetime.now(UTC)):
            raise KeyRefused
        return _caller(key)

    def check(self, caller: Caller, store: KeyStore) -> None:
        """Raises KeyRefused where the key of somebody who was let in is not valid any more; DatabaseUnavailable."""
        if caller.key_id == BOOTSTRAP:
            return
        key = store.find_key(caller.key_id)
        if key is None or not key.is_valid(datetime.now(UTC)):
            raise KeyRefused

    def _is_fresh(self, known: _Known) -> bool:
        if known.key is None:
            return True
        return self._clock() - known.judged < REMEMBERED_SECONDS and known.key.is_valid(datetime.now(UTC))

    def _judge(self, sent: str, hashed: str, place: str, was_known: bool, store: KeyStore) -> _Known:
        key_id = id_of(sent)
        if not was_known and key_id is None and (wait := self._wrong.wait(place)):
            raise _locked_out(wait)
        if same_hash(hashed, self._bootstrap):
            return self._remember(hashed, None)
        key = store.find_key(key_id) if key_id is not None else None
        if key is not None and same_hash(hashed, key.hash) and key.is_valid(now := datetime.now(UTC)):
            if store.use_is_to_be_noted(key, now):
                _note_use(store, key)
            return self._remember(hashed, key)
        self._known.pop(hashed, None)
        if wait := self._wrong.count(place):
            raise _locked_out(wait)
        raise KeyRefused

    def _remember(self, hashed: str, key: ApiKey | None) -> _Known:
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[hashed] = known = _Known(key, self._clock())
        return known


def _caller(key: ApiKey | None) -> Caller:
    if key is None:
        return Caller(DEFAULT_TENANT, frozenset(SCOPES), BOOTSTRAP)
    return Caller(key.tenant, frozenset(key.scopes), key.id)


def _note_use(store: KeyStore, key: ApiKey) -> None:
    try:
        store.note_use(key)
    except ServiceError as error:
        log.warning("the use of a key could not be noted", key=key.id, code=error.code)


def _locked_out(wait: int) -> TooManyWrongKeys:
    return TooManyWrongKeys("too many wrong API keys came from this address; try again later", retry_after=wait)
