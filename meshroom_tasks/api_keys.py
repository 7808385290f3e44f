"""API keys: how they look, and what is kept of them. Pure but for the random bits.

A key is `mt_<id>_<secret>`. The id finds its row; the secret holds 256 random bits, so that a fast hash of the key is
all that needs to be kept: nobody can try enough secrets, however fast they are hashed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["submit", "read", "admin"]
"""`submit`: make and change jobs; `read`: look at them; `admin`: look at what belongs to no tenant alone."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

DEFAULT_TENANT = "default"
TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

_KEY = re.compile(r"mt_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class NewKey:
    """`text` is for its owner and is kept nowhere."""

    id: str
    text: str


def new_key() -> NewKey:
    key_id = secrets.token_hex(6)
    return NewKey(key_id, f"mt_{key_id}_{secrets.token_urlsafe(32)}")


def id_of(text: str) -> str | None:
    """The id within a key; None for what does not look like one."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def hash_of(text: str) -> str:
    """SHA-256 of the whole key, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def same_hash(one: str, other: str) -> bool:
    """Compared in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
