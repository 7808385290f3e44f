from __future__ import annotations

from typing import Any

import pytest

from meshroom_tasks.cpu_engine.links import (
    GraphError,
    GraphNode,
    follow,
    in_order,
    nested,
    parse_link,
    resolve,
)
from tests.cpu_engine.plain_nodes import Reader, Writer


def graph_of(**inputs: dict[str, Any]) -> dict[str, GraphNode]:
    """w1, w2 ... are Writers, r1, r2 ... Readers; uid = name."""
    kinds = {"w": Writer(), "r": Reader()}
    graph = {}
    for name, given in inputs.items():
        kind = kinds[name[0]]
        values = {key: attribute.default for key, attribute in kind.flat_attributes().items()}
        graph[name] = GraphNode(name, kind, values | given, uid=name)
    return graph


GRAPH = graph_of(
    r2={"input": "{r1.output}", "folders": "{r1.folders}", "amount": "{r1.amount}"},
    r1={"input": "{w1.first}", "folders": ["{w1.output}", "{w2.output}", "/plain"], "amount": "{w1.amount}"},
    w1={"amount": 7},
    w2={"input": "{w1.input}", "kind": "md"},
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{A_1.output}", ("A_1", "output")),
        ("{A_1.sgm.scale}", ("A_1", "sgm.scale")),
        ("{cache}/x", None),
        ("x{A_1.output}", None),
        (3, None),
        (["{A_1.output}"], None),
    ],
)
def test_parse_link(value: Any, expected: tuple[str, str] | None) -> None:
    assert parse_link(value) == expected


@pytest.mark.parametrize(
    ("node", "attribute", "expected"),
    [
        ("r1", "input", "/cache/Writer/w1/0.txt"),
        ("r1", "folders", ["/cache/Writer/w1/", "/cache/Writer/w2/", "/plain"]),
        ("r2", "input", "/cache/Reader/r1/copy.txt"),
        ("r2", "folders", ["/cache/Writer/w1/", "/cache/Writer/w2/", "/plain"]),
        ("r2", "amount", 7),
        ("w2", "input", ""),
    ],
)
def test_resolve(node: str, attribute: str, expected: Any) -> None:
    assert resolve(GRAPH, GRAPH[node].values[attribute], "/cache") == expected


def test_an_output_is_named_by_an_attribute() -> None:
    assert resolve(GRAPH, "{w2.first}", "/cache") == "/cache/Writer/w2/0.md"


def test_nodes_come_after_what_they_read() -> None:
    names = [node.name for node in in_order(GRAPH)]
    assert sorted(names) == ["r1", "r2", "w1", "w2"]
    assert names.index("w1") < names.index("w2") < names.index("r1") < names.index("r2")


@pytest.mark.parametrize("link", ["{nobody.output}", "{w1.nothing}"])
def test_links_to_nowhere(link: str) -> None:
    graph = graph_of(w1={}, r1={"input": link})
    for use in (lambda: follow(graph, link), lambda: in_order(graph)):
        with pytest.raises(GraphError, match="names no"):
            use()


def test_circles() -> None:
    graph = graph_of(r1={"input": "{r2.output}"}, r2={"input": "{r1.output}"})
    with pytest.raises(GraphError, match="r1, r2"):
        in_order(graph)
    graph = graph_of(r1={"input": "{r2.input}"}, r2={"input": "{r1.input}"})
    with pytest.raises(GraphError, match="back to itself"):
        follow(graph, "{r1.input}")


def test_nested() -> None:
    assert nested({"a": 1, "g.b": 2, "g.h.c": 3}) == {"a": 1, "g": {"b": 2, "h": {"c": 3}}}
