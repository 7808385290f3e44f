"""Durations as people write and read them: `90s`, `30m`, `12h`, `7d`, `2w`. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_UNITS |= {"d": timedelta(days=1), "w": timedelta(weeks=1)}
_FORM = re.compile(r"(\d{1,6})([smhdw])")


class Duration(click.ParamType[timedelta]):
    """A parameter that becomes a timedelta."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        if (match := _FORM.fullmatch(str(value).strip().lower())) is None:
            self.fail(
                f"{value!r} is no duration; write a whole number and one of s, m, h, d, w, such as 12h", param, ctx
            )
        return int(match[1]) * _UNITS[match[2]]


def spoken(span: timedelta | None) -> str:
    """In the largest unit of which there is at least one: `3d`; nothing for None."""
    if span is None:
        return ""
    unit = next((unit for unit in ("d", "h", "m") if span >= _UNITS[unit]), "s")
    return f"{max(0, span // _UNITS[unit])}{unit}"
