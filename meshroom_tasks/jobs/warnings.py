"""The warnings of a job. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshroom_tasks.jobs.records import Camera

Warnings = list[dict[str, Any]]


def merged(known: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> Warnings:
    """`new` after `known`, nothing twice. A warning with a `count` takes the place of the one of its code and subject
    (`stage`), and the counts add up."""
    found = [dict(warning) for warning in known]
    for warning in map(dict, new):
        if "count" in warning:
            earlier = next((other for other in found if _counts_the_same(other, warning)), None)
            if earlier is not None:
                found.remove(earlier)
                warning["count"] += earlier["count"]
        if warning not in found:
            found.append(warning)
    return found


def _counts_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return "count" in one and (one["code"], one.get("stage")) == (other["code"], other.get("stage"))


def unanswered(warnings: Iterable[Mapping[str, Any]], camera: Camera) -> tuple[Mapping[str, Any], ...]:
    """Without what the client has answered: engines warn of a missing focal length also where they need not guess."""
    answered = {"focal_length_missing"} if camera.field_of_view_degrees is not None else set()
    return tuple(warning for warning in warnings if warning["code"] not in answered)


def of_retry(code: str, stage: str, worker: str | None) -> Warnings:
    """What a client and an operator should know of a failure though it is tried again: our own mistakes."""
    if code != "handoff_incomplete":
        return []
    message = f"{stage} did not find all files that it reads on {worker}; they are fetched anew, and it is tried again"
    return [{"code": code, "message": message, "stage": stage, "count": 1}]
