"""docs/settings.md names every setting, and no other; its section on `app_config.json` every place in that file."""

from __future__ import annotations

import re

from meshroom_tasks import settings
from meshroom_tasks.settings import PROJECT, Settings

PAGE = (PROJECT / "docs" / "settings.md").read_text()

LEFT_OUT = {
    "BROKER_QUEUE_NAME": "read so that an old app_config.json is accepted; queues have fixed names",
    "HINT_SECONDS": "how often a lost message is sent again: tests make it short, nobody else has a reason to",
    "SWEEP_SECONDS": "the same of the sweeper's rounds",
    "WORKER_SEEN_SECONDS": "the same of a worker's sign of life",
}
"""Settings that an operator need not know of, and why."""


def spread(name: str) -> set[str]:
    """`A_{B,C}_D` is two names."""
    braces = re.fullmatch(r"(.*)\{(.*)\}(.*)", name)
    return {braces[1] + part + braces[3] for part in braces[2].split(",")} if braces else {name}


def named() -> list[str]:
    rows = re.findall(r"^\| (`[A-Z].*?) \|", PAGE, re.MULTILINE)
    return [name for row in rows for quoted in re.findall(r"`([^`]+)`", row) for name in sorted(spread(quoted))]


def test_every_setting_has_one_row() -> None:
    known = {name.upper() for name in Settings.model_fields}
    assert LEFT_OUT.keys() <= known
    assert sorted(named()) == sorted(known - LEFT_OUT.keys())


def test_every_place_in_the_file_is_named() -> None:
    table = PAGE[PAGE.index("## In `app_config.json`") :]
    told = {
        (section, *key.split("."))
        for section, keys in re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
        for key in re.findall(r"`([a-z_.]+)`", keys)
    }
    left_out = {settings._CONFIG_PATHS[name.lower()] for name in LEFT_OUT if name.lower() in settings._CONFIG_PATHS}
    assert told == set(settings._CONFIG_PATHS.values()) - left_out
