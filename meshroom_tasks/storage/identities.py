"""Who may do what in the bucket, as SeaweedFS is told it: the workers everything, the web app what is its own.

The names of the web app's prefixes stand here once, for the store and for `ScopedStorage`.
"""

from __future__ import annotations

from typing import Any

WEB_WRITES = ("uploads",)
WEB_REMOVES = ("results", "jobs")
"""With a job that a client deletes."""
WEB_READS = ("inputs",)
"""Photos, which the pages show."""
PROBE = ".probe"
"""The object that is written and removed to see whether objects can be written."""

Keys = tuple[str, str]
"""Access key and secret key."""


def identities(owner: Keys, web: Keys, bucket: str, prefix: str = "") -> dict[str, Any]:
    """The file that `weed server -s3.config` takes."""
    place = f"{bucket}/{prefix.strip('/')}/" if prefix.strip("/") else f"{bucket}/"
    own = (*WEB_WRITES, *WEB_REMOVES)
    actions = [f"List:{bucket}", *(f"{right}:{place}{name}/*" for name in own for right in ("Read", "Write"))]
    seen = [f"Read:{place}{name}/*" for name in WEB_READS]
    return {
        "identities": [
            _identity("meshroom-tasks", owner, ["Admin", "Read", "Write", "List", "Tagging"]),
            _identity("meshroom-tasks-web", web, [*actions, *seen, f"Write:{place}{PROBE}*"]),
        ]
    }


def _identity(name: str, keys: Keys, actions: list[str]) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}], "actions": actions}
