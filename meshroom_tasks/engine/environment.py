"""What the engine's processes see of the worker's environment: all but the service's own settings and its secrets.

Meshroom puts variables into strings that it finds in graphs (`${NAME}`) and into its logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from meshroom_tasks.settings import Settings

# Celery puts the broker's URL into CELERY_BROKER_URL and the like for its children. Proxies have passwords too.
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]*:[^/?#\s]*@", re.IGNORECASE)
_SERVICE = {name.upper() for name in Settings.model_fields} | {"APP_CONFIG", "SECRETS_DIR"}
_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|API_?KEY|ACCESS_KEY|AUTH|COOKIE|PRIVATE|^PG[A-Z]+$")


def engine_environment(inherited: Mapping[str, str], added: Mapping[str, str], threads: int) -> dict[str, str]:
    """`added` wins over everything; with `threads` > 0 both engines are held to so many threads."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name.upper() not in _SERVICE and not _SECRET.search(name.upper()) and not _URL_WITH_PASSWORD.search(value)
    }
    if threads > 0:
        kept |= {"ENGINE_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    return {**kept, **added}
