"""OpenAPI 3.0 from 3.1, for readers that know only the older one (Swagger UI 4 is one). Pure."""

from __future__ import annotations

from typing import Any

_NULL = {"type": "null"}


def as_openapi_30(document: dict[str, Any]) -> dict[str, Any]:
    """The same API in OpenAPI 3.0.3.

    Webhooks are left out, since 3.0 has none; the `callbacks` of the operations say the same.
    """
    older = {name: value for name, value in document.items() if name != "webhooks"}
    return {**_convert(older), "openapi": "3.0.3"}


def _convert(value: Any) -> Any:
    if isinstance(value, list):
        return [_convert(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted = {name: _convert(item) for name, item in value.items()}
    return _nullable(_single_example(_enumerated(converted)))


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """`anyOf` with null: `nullable`."""
    kinds = schema.get("anyOf")
    if not isinstance(kinds, list) or _NULL not in kinds:
        return schema
    others = [kind for kind in kinds if kind != _NULL]
    rest = {name: item for name, item in schema.items() if name != "anyOf"}
    # Beside a $ref nothing else counts in 3.0, so that it needs a box of its own.
    only = others[0] if len(others) == 1 and "$ref" not in others[0] else {"anyOf": others}
    return {**only, **rest, "nullable": True}


def _single_example(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema's list of examples: its first."""
    examples = schema.get("examples")
    if not isinstance(examples, list) or not examples:
        return schema
    return {**{name: item for name, item in schema.items() if name != "examples"}, "example": examples[0]}


def _enumerated(schema: dict[str, Any]) -> dict[str, Any]:
    """`const`: an `enum` of one."""
    if "const" not in schema or isinstance(schema["const"], dict):
        return schema
    return {**{name: item for name, item in schema.items() if name != "const"}, "enum": [schema["const"]]}
