"""Judging a request's pipeline and settings, each fault at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshroom_tasks.errors import PipelineUnknown, ServiceError, SettingInvalid
from meshroom_tasks.pipelines import Pipeline, Pipelines
from web.problems import json_pointer
from web.schemas.requests import Reconstruction

Found = tuple[str, ServiceError]
"""A JSON pointer into the body and what is wrong there."""


def check_pipeline(body: Reconstruction, pipelines: Pipelines) -> Iterator[Found]:
    """What is wrong with the pipeline's name, or else with the settings."""
    try:
        pipeline = pipelines.get(body.pipeline)
    except PipelineUnknown as error:
        yield "/pipeline", error
        return
    for node, values in body.settings.items():
        yield from _node(pipeline, node, values)


def _node(pipeline: Pipeline, node: str, values: Mapping[str, Any]) -> Iterator[Found]:
    """One attribute after the other, since validation stops at the first fault."""
    for part in [{name: value} for name, value in values.items()] or [{}]:
        try:
            pipeline.validate_settings({node: part})
        except SettingInvalid as error:
            attribute = error.context.get("attribute")
            if attribute is None:
                yield json_pointer(("settings", node)), error
                return
            yield json_pointer(("settings", node, *attribute.split("."))), error
