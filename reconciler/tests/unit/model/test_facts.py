"""Pods and Nodes as the manager sees them: what they ask for and which class they have."""

from typing import Any

import msgspec
import pytest

from colocation.model import names
from colocation.model.facts import Published, Qos, node_facts, pod_facts
from colocation.model.wire import Node, Pod


def pod(*, annotations: dict[str, str] | None = None, status: dict[str, Any] | None = None, **spec: Any) -> Pod:
    body = {
        "metadata": {"name": "p", "namespace": "d", "uid": "u1", "annotations": annotations or {}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}], **spec},
        "status": {"phase": "Running", **(status or {})},
    }
    return msgspec.convert(body, Pod)


def asks(**requests: Any) -> dict[str, Any]:
    return {"requests": {k.replace("_", "-"): v for k, v in requests.items()}}


def test_containers_add_up_and_overhead_comes_on_top() -> None:
    facts = pod_facts(
        pod(
            containers=[
                {"name": "a", "resources": asks(cpu="1", memory="1Gi")},
                {"name": "b", "resources": asks(cpu="500m")},
            ],
            overhead={"cpu": "250m", "memory": "100"},
        )
    )
    assert facts is not None
    assert (facts.cpu, facts.memory) == (1750, 2**30 + 100)


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ([{"name": "i", "resources": asks(cpu="3")}], 3000),
        ([{"name": "i", "resources": asks(cpu="500m")}], 1000),
        ([{"name": "s", "restartPolicy": "Always", "resources": asks(cpu="500m")}], 1500),
        (
            [
                {"name": "s", "restartPolicy": "Always", "resources": asks(cpu="500m")},
                {"name": "i", "resources": asks(cpu="2")},
            ],
            2500,
        ),
    ],
    ids=["init container larger", "init container smaller", "sidecar adds", "init container beside a sidecar"],
)
def test_init_containers_and_sidecars(init: list[dict[str, Any]], expected: int) -> None:
    facts = pod_facts(pod(initContainers=init, containers=[{"name": "a", "resources": asks(cpu="1")}]))
    assert facts is not None
    assert facts.cpu == expected


def test_a_shrink_in_place_counts_only_when_it_has_been_carried_out() -> None:
    facts = pod_facts(
        pod(
            containers=[{"name": "a", "resources": asks(cpu="1")}],
            status={
                "containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "4"}, "resources": asks(cpu="4")}]
            },
        )
    )
    assert facts is not None
    assert facts.cpu == 4000


def test_pod_level_resources_take_the_place_of_the_sum() -> None:
    facts = pod_facts(pod(resources=asks(cpu="5"), containers=[{"name": "a", "resources": asks(cpu="1")}]))
    assert facts is not None
    assert facts.cpu == 5000


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_no_longer_there(phase: str) -> None:
    assert pod_facts(pod(status={"phase": phase})) is None


def test_an_unbound_pod_is_not_there_yet() -> None:
    assert pod_facts(pod(nodeName="")) is None


BE = {names.QOS_ANNOTATION: "BE"}


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        ({}, {}, Qos.LS),
        (BE, {}, Qos.BE),
        ({names.QOS_ANNOTATION: "HLS"}, {}, Qos.HLS),
        ({names.QOS_ANNOTATION: "be"}, {}, Qos.LS),
        ({**BE, names.MIRROR_ANNOTATION: "x"}, {}, Qos.LS),
        (BE, {"priority": 2_000_001_000}, Qos.LS),
    ],
    ids=["none", "BE", "HLS", "unknown word", "mirror pod says BE in vain", "system-critical says BE in vain"],
)
def test_class_of_a_pod(annotations: dict[str, str], spec: dict[str, Any], expected: Qos) -> None:
    facts = pod_facts(pod(annotations=annotations, **spec))
    assert facts is not None
    assert facts.qos is expected


def test_a_daemonset_pod_says_be_in_vain() -> None:
    said = pod(annotations=BE)
    said.metadata = msgspec.convert(
        {
            "name": "p", "namespace": "d", "uid": "u", "annotations": BE,
            "ownerReferences": [{"kind": "DaemonSet", "name": "d", "uid": "x", "controller": True}],
        },
        type(said.metadata),
    )  # fmt: skip
    facts = pod_facts(said)
    assert facts is not None
    assert facts.qos is Qos.LS


def test_a_be_pod_is_told_to_its_agent_with_its_limits() -> None:
    facts = pod_facts(
        pod(
            annotations=BE,
            priority=-100,
            containers=[
                {
                    "name": "a",
                    "resources": {
                        "requests": {names.BE_CPU: "250", names.BE_MEMORY: "100Mi"},
                        "limits": {names.BE_CPU: "500", names.BE_MEMORY: "200Mi"},
                    },
                }
            ],
        )
    )
    assert facts is not None
    row = facts.as_be_pod()
    assert (row.uid, row.cpu_request, row.cpu_limit, row.memory_limit, row.priority) == (
        "u1",
        250,
        500,
        200 * 2**20,
        -100,
    )


def test_one_container_without_a_limit_leaves_the_pod_without_one() -> None:
    facts = pod_facts(
        pod(annotations=BE, containers=[{"name": "a", "resources": {"limits": {names.BE_CPU: "500"}}}, {"name": "b"}])
    )
    assert facts is not None
    assert facts.be_cpu_limit is None


def test_a_static_pod_is_found_by_its_config_hash() -> None:
    facts = pod_facts(pod(annotations={names.MIRROR_ANNOTATION: "h", names.STATIC_HASH_ANNOTATION: "h"}))
    assert facts is not None
    assert facts.cgroup_uid == "h"


def node(capacity: dict[str, Any], allocatable: dict[str, Any] | None = None) -> Node:
    body = {"metadata": {"name": "n1"}, "status": {"capacity": capacity, "allocatable": allocatable or capacity}}
    return msgspec.convert(body, Node)


def test_node_size_and_our_keys() -> None:
    facts = node_facts(
        node({"cpu": "4", "memory": "8Gi", names.BE_CPU: "1500", names.BE_MEMORY: "1073741824", names.GATE: "250"})
    )
    assert (facts.cpu_capacity, facts.memory_capacity) == (4000, 8 * 2**30)
    assert facts.published == Published(1500, 2**30, 250, consistent=True)


def test_capacity_alone_is_not_consistent() -> None:
    facts = node_facts(node({"cpu": "4", "memory": "8Gi", names.BE_CPU: "1500"}, {"cpu": "4", "memory": "8Gi"}))
    assert not facts.published.consistent
    assert not facts.published.absent


def test_a_node_without_size_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="Node n1 reports no cpu or memory capacity"):
        node_facts(node({"cpu": "4"}))
