"""No text that we write is refused for its length: statuses, Events and annotations on the real API server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from colocation.agent.reporter import patch_body
from colocation.kube.resources import EVENTS, NODE_COLOCATIONS, NODES, POLICIES
from colocation.kube.rest import ApiError
from colocation.manager.events import About, event
from colocation.model.fit import fit
from colocation.model.report import NodeColocationStatus
from tests.lab.waiting import eventually
from tools.schema import struct_schema

from .cluster import Cluster
from .test_manager import publishing

pytestmark = pytest.mark.apiserver
LONG = "ü-." * 3000


def longest(schema: dict[str, Any]) -> Any:
    """A value with every field, and every text far too long."""
    match schema["type"]:
        case "string":
            return schema["enum"][0] if "enum" in schema else LONG
        case "integer":
            return 1
        case "number":
            return 1.0
        case "array":
            return [longest(schema["items"])] * schema.get("minItems", 1)
        case "object":
            return {name: longest(inner) for name, inner in schema.get("properties", {}).items()}
    raise AssertionError(schema)


def test_a_report_is_written_however_long_each_of_its_texts_is(cluster: Cluster) -> None:
    kind = {"apiVersion": NODE_COLOCATIONS.group_version, "kind": "NodeColocation", "metadata": {"name": "n1"}}
    cluster.rest.create(NODE_COLOCATIONS.path(), kind)
    path = NODE_COLOCATIONS.path("n1", sub="status")
    whole = longest(struct_schema(NodeColocationStatus))
    with pytest.raises(ApiError) as refused:
        cluster.rest.patch(path, {"status": whole})
    assert refused.value.code == 422
    strict = msgspec.convert(_without(whole), NodeColocationStatus)
    replaced = fit(_everywhere(strict))
    cluster.rest.patch(path, patch_body(replaced))
    assert cluster.ncol("n1")["status"]["conditions"][0]["message"].endswith("...")


def _without(value: Any) -> Any:
    """The same with short texts: what the Structs themselves take."""
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner) for inner in value]
    return "x" if value == LONG else value


def _everywhere(value: Any) -> Any:
    """Long texts again: a Struct that is made, not read, checks nothing."""
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: _everywhere(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, tuple):
        return tuple(_everywhere(inner) for inner in value)
    return LONG if value == "x" else value


@pytest.mark.parametrize("name", ["n" * 199 + "-" + "x" * 40, "a." * 126 + "a", "x" + "-" * 61 + "x." * 95 + "x"])
def test_an_event_is_written_whatever_its_object_is_called_and_however_much_it_says(
    cluster: Cluster, name: str
) -> None:
    body = event(About("Node", name, "u"), "PublishedDecreased", LONG, "ü" * 300, warning=True)
    cluster.rest.create(EVENTS.path(namespace="default"), body)


def test_a_policy_says_which_nodes_are_silent_however_long_their_names_are(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager()
    for number in range(6):
        cluster.node(f"{number}" + ".n" * 100)

    def ready() -> str:
        conditions = cluster.get(POLICIES.path("p")).get("status", {}).get("conditions", [])
        return next((str(c["message"]) for c in conditions if c["reason"] == "NodesNotReporting"), "")

    assert eventually(ready, 30).startswith("no fresh report from 0.n.n")


def test_a_node_says_why_it_is_withdrawn_however_long_that_is(cluster: Cluster) -> None:
    cluster.policy("p" * 253)
    cluster.manager()
    publishing(cluster, "n1")
    cluster.rest.patch(NODES.path("n1"), {"metadata": {"annotations": {"a/a": "x" * 255_000}}})
    cluster.rest.patch(POLICIES.path("p" * 253), {"spec": {"enabled": False}})
    assert eventually(lambda: cluster.withdrawn("n1"), 20) == f"policy {'p' * 253} is disabled"
