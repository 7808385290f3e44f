"""Every move of every step, as the database itself wrote it down: a trigger of the test keeps what rows forget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import psycopg
from psycopg.rows import class_row

_TRIGGER = """
create table audit (
    number bigint generated always as identity primary key,
    at double precision not null default extract(epoch from clock_timestamp()),
    step text not null, job text not null, kind text not null, address text, worker text,
    was text, now text not null, old_token text, new_token text, attempts integer not null, code text,
    cached boolean not null
);
create function audit_step() returns trigger language plpgsql as $$
begin
    insert into audit (step, job, kind, address, worker, was, now, old_token, new_token, attempts, code,
                       cached)
    values (new.id, new.job_id, new.kind, new.address, new.worker, old.state, new.state, old.token, new.token,
            new.attempts, new.error->>'code', new.cached);
    return null;
end $$;
create trigger audit_step after update on step for each row
    when (old.state is distinct from new.state or old.token is distinct from new.token)
    execute function audit_step();
"""

_ALLOWED = {
    ("blocked", "ready"),
    ("ready", "running"),
    ("running", "ready"),
    ("running", "done"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("ready", "cancelled"),
    ("blocked", "cancelled"),
}


@dataclass(frozen=True)
class Move:
    """`at` is in seconds since 1970; `code`: what the step's row says of its last failure; `cached`: the result
    was found, not computed."""

    number: int
    at: float
    step: str
    job: str
    kind: str
    address: str | None
    worker: str | None
    was: str
    now: str
    old_token: str | None
    new_token: str | None
    attempts: int
    code: str | None
    cached: bool = False

    @property
    def is_retry(self) -> bool:
        return (self.was, self.now) == ("running", "ready")


def install(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(_TRIGGER)


def moves(database_url: str) -> list[Move]:
    with psycopg.connect(database_url) as connection:
        return connection.cursor(row_factory=class_row(Move)).execute("select * from audit order by number").fetchall()


def objections(moves: Iterable[Move]) -> list[str]:
    """What in these moves must never happen: an empty list for every history that the fencing tokens allowed."""
    found: list[str] = []
    tokens: set[str] = set()
    by_step: Mapping[str, list[Move]] = defaultdict(list)
    for move in moves:
        by_step[move.step].append(move)
        if (move.was, move.now) not in _ALLOWED:
            found.append(f"a step went from {move.was} to {move.now}: {move}")
        if move.now == "running":
            if move.new_token is None or move.new_token in tokens:
                found.append(f"a claim without a token of its own: {move}")
            tokens.add(move.new_token or "")
        elif move.new_token is not None:
            found.append(f"a step that nobody holds has a token: {move}")
    for history in by_step.values():
        if [move.now for move in history].count("done") > 1:
            found.append(f"a step was finished twice: {history}")
        for earlier, later in pairwise(history):
            if later.was != earlier.now or later.old_token != earlier.new_token:
                found.append(f"a move does not follow from the one before: {earlier}, {later}")
    return found


def unearned(moves: Iterable[Move], ended: Mapping[str, float]) -> list[str]:
    """Chunks that were accepted as computed although the one that held them then had not computed them.

    `ended`: when (seconds since 1970) the engine of each token succeeded. A word of an earlier holder that was taken
    for the current one's shows here: no row tells whose word it was.
    """
    return [
        f"accepted before its holder had computed it: {move}"
        for move in moves
        if move.kind == "chunk" and move.now == "done" and not move.cached
        if ended.get(move.old_token or "", float("inf")) > move.at
    ]
