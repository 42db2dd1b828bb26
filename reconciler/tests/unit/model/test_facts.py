"""Pods and Nodes as the manager sees them: what they ask for and which class they have."""

from typing import Any

import msgspec
import pytest

from colocation.model import names
from colocation.model.facts import Evicted, NodeFacts, PodFacts, Published, Qos, node_facts, pod_facts
from colocation.model.wire import Node, Pod


def pod(*, annotations: dict[str, str] | None = None, status: dict[str, Any] | None = None, **spec: Any) -> Pod:
    body = {
        "metadata": {"name": "p", "namespace": "d", "uid": "u1", "annotations": annotations or {}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}], **spec},
        "status": {"phase": "Running", **(status or {})},
    }
    return msgspec.convert(body, Pod)


def online(wire: Pod) -> PodFacts:
    """The facts of a pod that is there."""
    facts = pod_facts(wire)
    assert isinstance(facts, PodFacts)
    return facts


def asks(**requests: Any) -> dict[str, Any]:
    return {"requests": {k.replace("_", "-"): v for k, v in requests.items()}}


def test_containers_add_up_and_overhead_comes_on_top() -> None:
    facts = online(
        pod(
            containers=[
                {"name": "a", "resources": asks(cpu="1", memory="1Gi")},
                {"name": "b", "resources": asks(cpu="500m")},
            ],
            overhead={"cpu": "250m", "memory": "100"},
        )
    )
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
    facts = online(pod(initContainers=init, containers=[{"name": "a", "resources": asks(cpu="1")}]))
    assert facts.cpu == expected


def test_a_shrink_in_place_counts_only_when_it_has_been_carried_out() -> None:
    facts = online(
        pod(
            containers=[{"name": "a", "resources": asks(cpu="1")}],
            status={
                "containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "4"}, "resources": asks(cpu="4")}]
            },
        )
    )
    assert facts.cpu == 4000


def test_pod_level_resources_take_the_place_of_the_sum() -> None:
    facts = online(pod(resources=asks(cpu="5"), containers=[{"name": "a", "resources": asks(cpu="1")}]))
    assert facts.cpu == 5000


@pytest.mark.parametrize(
    ("granted", "actual", "expected"),
    [({"cpu": "8"}, {}, 8000), ({}, {"cpu": "7"}, 7000), ({"cpu": "2"}, {"cpu": "2"}, 5000), ({}, {}, 5000)],
    ids=["allocated is more", "actual is more", "wished is more", "not told"],
)
def test_pod_level_resources_resized_in_place(granted: dict[str, str], actual: dict[str, str], expected: int) -> None:
    status = {"allocatedResources": granted, "resources": {"requests": actual}}
    facts = online(pod(resources=asks(cpu="5"), status=status))
    assert facts.cpu == expected


def test_a_grow_in_place_counts_as_soon_as_it_is_wished() -> None:
    """The scheduler has reserved it by then, and the kubelet may give it at any moment."""
    status = {"containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "1"}, "resources": asks(cpu="1")}]}
    assert online(pod(containers=[{"name": "a", "resources": asks(cpu="3")}], status=status)).cpu == 3000


def test_a_sidecar_resized_in_place_counts_with_what_it_was_given() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": asks(cpu="100m")}
    status = {"initContainerStatuses": [{"name": "s", "allocatedResources": {"cpu": "2"}}]}
    facts = online(pod(initContainers=[sidecar], containers=[{"name": "a", "resources": asks(cpu="1")}], status=status))
    assert facts.cpu == 3000


def test_overhead_comes_on_top_of_pod_level_resources_too() -> None:
    assert online(pod(resources=asks(cpu="5"), overhead={"cpu": "250m"})).cpu == 5250


def limited(cpu: str | None, memory: str | None, overhead: dict[str, str]) -> PodFacts:
    """A best-effort pod of one container with these limits."""
    wanted = {"kubernetes.io/be-cpu": cpu, "kubernetes.io/be-memory": memory}
    limits = {name: value for name, value in wanted.items() if value is not None}
    return online(pod(annotations=BE, containers=[{"name": "a", "resources": {"limits": limits}}], overhead=overhead))


@pytest.mark.parametrize(
    ("cpu", "memory", "overhead", "expected"),
    [
        ("1000", "1Gi", {"cpu": "250m", "memory": "120Mi"}, (1250, 1199570944)),
        ("1000", "1Gi", {}, (1000, 2**30)),
        (None, None, {"cpu": "250m", "memory": "120Mi"}, (None, None)),
        ("0", "1Gi", {"cpu": "250m", "memory": "120Mi"}, (0, 1199570944)),
        ("1000", "1Gi", {"cpu": "250m", "kubernetes.io/be-cpu": "50"}, (1300, 2**30)),
    ],
    ids=["both", "none", "no limit stays none", "a limit of 0 stays 0, as kubelet does it", "in both kinds of cpu"],
)
def test_a_best_effort_pod_may_use_its_overhead_beside_its_limits(
    cpu: str | None, memory: str | None, overhead: dict[str, str], expected: tuple[int | None, int | None]
) -> None:
    facts = limited(cpu, memory, overhead)
    assert (facts.be_cpu_limit, facts.be_memory_limit) == expected
    row = facts.as_be_pod()
    assert (row.cpu_limit, row.memory_limit) == expected


def test_a_pod_of_the_hosts_network_is_a_pod_like_any_other() -> None:
    wanted = [{"name": "a", "resources": asks(cpu="1", memory="1Gi")}]
    assert pod_facts(pod(hostNetwork=True, containers=wanted)) == pod_facts(pod(containers=wanted))


def test_a_be_pod_that_asked_for_nothing_is_offline_and_requests_no_be() -> None:
    facts = online(pod(annotations=BE, containers=[{"name": "a", "resources": asks(cpu="1")}]))
    assert (facts.qos, facts.requests_be, facts.be_cpu) == (Qos.BE, False, 0)


def test_a_terminating_pod_is_there_until_it_has_ended() -> None:
    ending = pod(annotations=BE, containers=[{"name": "a", "resources": asks(**{"kubernetes.io/be_cpu": "500"})}])
    ending.metadata.deletion_timestamp = "2026-11-21T00:00:00Z"
    assert (online(ending).be_cpu, online(ending).running) == (500, True)


def test_a_pod_bound_by_hand_is_there_before_it_runs() -> None:
    waiting = online(pod(status={"phase": "Pending"}))
    assert (waiting.node, waiting.running) == ("n1", False)


@pytest.mark.parametrize(
    ("reason", "deleted", "evicted"),
    [
        ("EvictionByEvictionAPI", True, True),
        ("TerminationByKubelet", True, True),
        ("PreemptionByScheduler", True, False),
        ("DeletionByTaintManager", True, False),
        ("EvictionByEvictionAPI", False, False),
    ],
)
def test_which_pods_count_as_evicted(reason: str, *, deleted: bool, evicted: bool) -> None:
    body = {
        "metadata": {"name": "p", **({"deletionTimestamp": "2026-11-21T00:00:00Z"} if deleted else {})},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready"}, {"type": "DisruptionTarget", "status": "True",
                                                                         "reason": reason, "message": "x"}]},
    }  # fmt: skip
    assert online(msgspec.json.decode(msgspec.json.encode(body), type=Pod)).evicted is evicted


def test_a_pod_that_its_kubelet_evicted_has_ended_and_is_told_apart() -> None:
    assert pod_facts(pod(status={"phase": "Failed", "reason": "Evicted"})) == Evicted("n1")


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
    facts = online(pod(annotations=annotations, **spec))
    assert facts.qos is expected


def test_a_daemonset_pod_says_be_in_vain() -> None:
    answer = pod(annotations=BE)
    answer.metadata = msgspec.convert(
        {
            "name": "p", "namespace": "d", "uid": "u", "annotations": BE,
            "ownerReferences": [{"kind": "DaemonSet", "name": "d", "uid": "x", "controller": True}],
        },
        type(answer.metadata),
    )  # fmt: skip
    facts = online(answer)
    assert facts.qos is Qos.LS


def test_a_be_pod_is_told_to_its_agent_with_its_limits() -> None:
    facts = online(
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
    row = facts.as_be_pod()
    assert (row.uid, row.cpu_request, row.cpu_limit, row.memory_limit, row.priority) == (
        "u1",
        250,
        500,
        200 * 2**20,
        -100,
    )


def test_one_container_without_a_limit_leaves_the_pod_without_one() -> None:
    facts = online(
        pod(annotations=BE, containers=[{"name": "a", "resources": {"limits": {names.BE_CPU: "500"}}}, {"name": "b"}])
    )
    assert facts.be_cpu_limit is None


def test_a_static_pod_is_found_by_its_config_hash() -> None:
    facts = online(pod(annotations={names.MIRROR_ANNOTATION: "h", names.STATIC_HASH_ANNOTATION: "h"}))
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


def annotated(text: str | None) -> NodeFacts:
    answer = node({"cpu": "4", "memory": "8Gi"})
    answer.metadata.annotations = {} if text is None else {names.RESERVED_ANNOTATION: text}
    return node_facts(answer)


@pytest.mark.parametrize(
    ("text", "cpu", "memory"),
    [
        (None, 0, 0),
        ("{}", 0, 0),
        ('{"cpu": "1500m", "memory": "2Gi"}', 1500, 2 * 2**30),
        ('{"cpu": 2}', 2000, 0),
        ('{"memory": "1e9"}', 0, 10**9),
    ],
)
def test_an_annotation_reserves_resources(text: str | None, cpu: int, memory: int) -> None:
    facts = annotated(text)
    assert (facts.cpu_annotated, facts.memory_annotated, facts.problem) == (cpu, memory, None)


@pytest.mark.parametrize(
    "text", ["", "lots", "[]", '{"cpu": "many"}', '{"cpus": "2"}', '{"cpu": "-1"}', '{"cpu": null}', '{"cpu": {}}']
)
def test_an_annotation_with_garbage_is_a_problem_of_that_node_and_never_nothing_reserved(text: str) -> None:
    facts = annotated(text)
    assert f"annotation {names.RESERVED_ANNOTATION} cannot be read" in str(facts.problem)
    assert '{"cpu": "2", "memory": "4Gi"}' in str(facts.problem)


def test_a_cordoned_node_is_known_to_be_cordoned() -> None:
    answer = node({"cpu": "4", "memory": "8Gi"})
    answer.spec.unschedulable = True
    assert node_facts(answer).cordoned
