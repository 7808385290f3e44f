"""`Idempotency-Key`: a client that does not know whether its request arrived sends it again, and gets the same job."""

from __future__ import annotations

import hashlib
import json
import re

from flask import request

from meshroom_tasks.errors import RequestRefused
from meshroom_tasks.jobs.records import IdempotencyKey
from web.problems import Fault, Refused
from web.schemas.requests import Reconstruction

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_USABLE = re.compile(r"[\x21-\x7e]{1,255}")


def key_of_request(body: Reconstruction) -> IdempotencyKey | None:
    """The key that the client sent with this body, None where it sent none. Raises Refused for one that is unusable."""
    name = request.headers.get(HEADER)
    if name is None:
        return None
    if not _USABLE.fullmatch(name):
        fault = Fault("", f"{HEADER} has 1 to 255 visible ASCII characters", "header")
        raise Refused(422, RequestRefused.code, f"{HEADER} is not acceptable; see `errors`", [fault])
    asked = json.dumps(body.model_dump(mode="json"), sort_keys=True).encode()
    return IdempotencyKey(name, hashlib.sha256(asked).hexdigest())
