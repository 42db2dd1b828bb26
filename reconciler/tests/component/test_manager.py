"""The manager as a process, against a real API server: what it publishes, and what stands after each accident."""

from __future__ import annotations

import json
import signal
import time

import pytest

from colocation.kube.resources import LEASES, NODE_COLOCATIONS, NODES, POLICIES
from colocation.kube.rest import ApiError
from colocation.model import names
from tests.lab.waiting import eventually

from .cluster import GI, NAMESPACE, Cluster

pytestmark = pytest.mark.apiserver

# A node of 10 cores and 100Gi, 60 % and 65 % of which may be used, with 1 core and 5Gi in use by the system:
HEADROOM = (5000, 60 * GI, 250)
FAST = {"cpu": {"strategy": "usage"}, "memory": {"strategy": "usage"}, "growAfterSeconds": 0}


def publishing(cluster: Cluster, *nodes: str) -> None:
    """Nodes that have reported and been published."""
    for name in nodes:
        cluster.node(name)
        eventually(lambda name=name: cluster.ncol(name))
        cluster.report(name)
        eventually(lambda name=name: cluster.published(name) == HEADROOM, what=f"{name} not published")


def test_a_node_that_reports_is_published_and_its_agent_told(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager()
    cluster.node("n1")
    ncol = eventually(lambda: cluster.ncol("n1"))
    assert cluster.published("n1") == (None, None, None)  # no report, no number
    assert cluster.withdrawn("n1") is None
    spec = ncol["spec"]
    assert (spec["enabled"], spec["policy"]["name"], spec["capacity"]) == (
        True,
        "p",
        {"cpu": 10000, "memory": 100 * GI},
    )
    assert ncol["metadata"]["ownerReferences"][0]["uid"] == cluster.get(NODES.path("n1"))["metadata"]["uid"]
    online = cluster.pod("web", "n1", cpu="2", memory="1Gi")
    cluster.report("n1", pods=({"uid": online["metadata"]["uid"], "cpu": 500, "memory": 2 * GI},))
    # 10,000 - 4,000 margin - 1,000 system - 500; 100 - 35 - 5 - 2 GiB
    eventually(lambda: cluster.published("n1") == (4500, 58 * GI, 250))


def test_a_node_that_another_manager_published_is_taken_over_without_its_numbers_being_absent(cluster: Cluster) -> None:
    theirs = {names.BE_CPU: "4k", names.BE_MEMORY: str(50 * GI)}
    cluster.node("n1", label=False, **theirs)
    cluster.manager()
    begun, since = cluster.published("n1"), cluster.version("n1")
    assert begun == (4000, 50 * GI, None)
    cluster.policy()
    time.sleep(0.5)
    cluster.rest.patch(NODES.path("n1"), {"metadata": {"labels": {names.NODE_LABEL: "true"}}})
    eventually(lambda: cluster.ncol("n1"))
    time.sleep(0.5)
    assert cluster.published("n1") == begun, "the agent has not reported yet"
    cluster.report("n1")
    eventually(lambda: cluster.published("n1") == HEADROOM)
    # All that ever stood on the Node since then, as a watch tells it.
    result = cluster.rest.stream(NODES, {"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"}, 5).read()
    stood = [json.loads(line)["object"]["status"] for line in result.splitlines()]
    assert len(stood) >= 2
    assert all(key in status[part] for status in stood for part in ("capacity", "allocatable") for key in theirs)


def test_a_node_without_label_gets_nothing_at_all(cluster: Cluster) -> None:
    cluster.policy()
    cluster.node("other", label=False)
    before = cluster.version("other")
    cluster.manager()
    publishing(cluster, "n1")
    assert cluster.version("other") == before
    with pytest.raises(ApiError):
        cluster.ncol("other")


def test_be_pods_are_told_to_the_agent_and_the_gate_closes_below_what_is_allocated(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager()
    publishing(cluster, "n1")
    pod = cluster.pod("batch", "n1", be=(3000, GI), running=True)
    wanted = {"uid": pod["metadata"]["uid"], "cpuRequest": 3000, "cpuLimit": 3000, "memoryLimit": GI, "running": True}
    eventually(lambda: cluster.ncol("n1")["spec"].get("pods") == [wanted])
    assert cluster.published("n1") == HEADROOM  # requests do not change the headroom
    cluster.report("n1", cpu=4500)
    eventually(lambda: cluster.published("n1") == (3000, 60 * GI, None), what="held at what is allocated, closed")
    cluster.end_pod("batch")
    eventually(lambda: cluster.published("n1") == (1500, 60 * GI, 250), what="open again once nothing is allocated")
    eventually(lambda: "pods" not in cluster.ncol("n1")["spec"] or not cluster.ncol("n1")["spec"]["pods"])


def test_max_pods_below_the_bound_pods_closes_the_node_and_leaves_its_pods_their_resources(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager()
    publishing(cluster, "n1")
    for number in range(3):
        cluster.pod(f"batch{number}", "n1", be=(100, GI), running=True)
    eventually(lambda: len(cluster.ncol("n1")["spec"]["pods"]) == 3)
    for most, gate in ((2, None), (3, 3), (0, None), (250, 250)):
        cluster.rest.patch(POLICIES.path("p"), {"spec": {"oversell": {"maxPods": most}}})
        eventually(lambda gate=gate: cluster.published("n1") == (*HEADROOM[:2], gate))  # type: ignore[misc]


def test_after_kill_9_the_number_does_not_rise_before_a_new_report(cluster: Cluster) -> None:
    cluster.policy()
    first = cluster.manager()
    publishing(cluster, "n1")
    first.end(signal.SIGKILL)
    cluster.report("n1", cpu=0)  # more headroom, while no manager runs: of unknown age to the next one
    cluster.manager()
    cluster.leader()
    time.sleep(1.5)
    assert cluster.published("n1") == HEADROOM
    cluster.report("n1", cpu=0)
    eventually(lambda: cluster.published("n1") == (6000, 60 * GI, 250))


def test_after_a_restart_it_may_fall_at_once(cluster: Cluster) -> None:
    cluster.policy()
    first = cluster.manager()
    publishing(cluster, "n1")
    first.end(signal.SIGKILL)
    cluster.report("n1", cpu=2000)
    cluster.manager()
    eventually(lambda: cluster.published("n1") == (4000, 60 * GI, 250), 30)


def test_a_node_that_never_was_published_is_published_from_the_listed_report(cluster: Cluster) -> None:
    cluster.node("n1")
    body = {
        "apiVersion": NODE_COLOCATIONS.group_version,
        "kind": "NodeColocation",
        "metadata": {"name": "n1"},
        "spec": {},
    }
    cluster.rest.create(NODE_COLOCATIONS.path(), body)
    cluster.report("n1")
    cluster.policy()
    cluster.manager()
    eventually(lambda: cluster.published("n1") == HEADROOM)


def test_silence_withdraws_by_timer_and_a_report_brings_it_back(cluster: Cluster) -> None:
    cluster.policy(oversell={**FAST, "staleAfterSeconds": 10}, report={"intervalSeconds": 5, "minIntervalSeconds": 1})
    cluster.manager()
    publishing(cluster, "n1")
    began = time.monotonic()
    eventually(lambda: cluster.published("n1") == (None, None, None), 15)
    assert 8.5 < time.monotonic() - began < 12
    assert "silent" in str(cluster.withdrawn("n1"))
    # The agent goes on protecting: only the offering has stopped.
    assert cluster.ncol("n1")["spec"]["enabled"]
    cluster.report("n1")
    eventually(lambda: cluster.published("n1") == HEADROOM)
    assert cluster.withdrawn("n1") is None


def test_a_withdrawn_node_keeps_what_is_allocated_until_it_is_drained(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager()
    publishing(cluster, "n1")
    cluster.pod("batch", "n1", be=(3000, GI), running=True)
    eventually(lambda: cluster.ncol("n1")["spec"]["pods"])
    label = {"metadata": {"labels": {"node.openfuyao.com/colocation": None}}}
    cluster.rest.patch(NODES.path("n1"), label)
    eventually(lambda: cluster.published("n1") == (3000, GI, None))
    assert "not labelled" in str(cluster.withdrawn("n1"))
    eventually(lambda: not cluster.ncol("n1")["spec"]["enabled"])
    cluster.end_pod("batch")
    eventually(lambda: cluster.published("n1") == (None, None, None))

    def gone() -> bool:
        try:
            cluster.ncol("n1")
        except ApiError as error:
            return error.code == 404
        return False

    eventually(gone, what="NodeColocation not deleted")


def test_a_change_of_policy_takes_effect_at_once(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager()
    publishing(cluster, "n1", "n2")
    cluster.rest.patch(POLICIES.path("p"), {"spec": {"oversell": {"cpu": {"reclaimPercent": 50}}}})
    eventually(lambda: all(cluster.published(n) == (4000, 60 * GI, 250) for n in ("n1", "n2")), 2)
    cluster.policy(
        "stronger", priority=5, nodeSelector={"matchLabels": {"only": "n2"}}, oversell={**FAST, "maxPods": 7}
    )
    cluster.rest.patch(NODES.path("n2"), {"metadata": {"labels": {"only": "n2"}}})
    eventually(lambda: cluster.published("n2") == (5000, 60 * GI, 7))
    assert cluster.published("n1") == (4000, 60 * GI, 250)
    assert cluster.ncol("n2")["spec"]["policy"]["name"] == "stronger"
    cluster.rest.delete(POLICIES.path("p"))
    eventually(lambda: cluster.published("n1") == (None, None, None))
    assert cluster.withdrawn("n1") == "no ColocationPolicy selects this node"


@pytest.mark.parametrize(
    "status",
    [
        {"observedAt": "x", "system": {"cpu": "lots"}},
        {"observedAt": "x", "system": {"cpu": -1}},
        {"observedAt": "x", "pods": [{"cpu": 3}]},
        {"node": 7},
        {"observedAt": "x", "system": {"cpu": {"millicores": 5, "window": "1m"}}, "version": "v9"},
    ],
    ids=["no quantity", "below zero", "a field is missing", "no structure", "a future version"],
)
def test_garbage_withdraws_that_node_alone(cluster: Cluster, anything_goes: None, status: dict[str, object]) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "bad", "good")
    clear = {"status": dict.fromkeys(("system", "pods", "node", "windowSeconds"), None)}
    patch = {"status": {**clear["status"], **status}}
    cluster.rest.patch(NODE_COLOCATIONS.path("bad", sub="status"), patch)
    eventually(lambda: cluster.published("bad") == (None, None, None))
    assert "cannot be used" in str(cluster.withdrawn("bad"))
    cluster.report("good", cpu=2000)
    eventually(lambda: cluster.published("good") == (4000, 60 * GI, 250))
    assert "cannot be used" in manager.json("/v1/explain/bad")["withdrawn"]
    cluster.rest.patch(
        NODE_COLOCATIONS.path("bad", sub="status"), {"status": {"system": None, "node": None, "pods": None}}
    )
    cluster.report("bad")
    eventually(lambda: cluster.published("bad") == HEADROOM)


def test_nothing_is_written_that_changes_nothing(cluster: Cluster) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1")
    eventually(lambda: 'colocation_writes_total{kind="node",outcome="ok"} 1.0' in manager.http("/metrics"))
    before = cluster.version("n1")
    spec = cluster.ncol("n1")["metadata"]["generation"]
    for _ in range(5):
        cluster.report("n1")
        time.sleep(0.1)
    cluster.rest.patch(NODES.path("n1"), {"metadata": {"annotations": {"touched": "by somebody else"}}})
    touched = cluster.version("n1")
    time.sleep(1)
    assert touched != before
    assert cluster.version("n1") == touched
    assert cluster.ncol("n1")["metadata"]["generation"] == spec
    lines = manager.http("/metrics").splitlines()
    writes = [line for line in lines if line.startswith("colocation_writes_total{") and 'kind="policy"' not in line]
    assert writes == [
        'colocation_writes_total{kind="spec",outcome="ok"} 1.0',
        'colocation_writes_total{kind="node",outcome="ok"} 1.0',
    ]


def test_keys_that_somebody_else_changes_are_put_right(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager()
    publishing(cluster, "n1")
    wrong = {"status": {"capacity": {"kubernetes.io/be-cpu": "99999"}, "allocatable": {"kubernetes.io/be-cpu": "1"}}}
    cluster.rest.patch(NODES.path("n1", sub="status"), wrong)
    eventually(lambda: _published(cluster, "n1") == HEADROOM)


def _published(cluster: Cluster, node: str) -> object:
    try:
        return cluster.published(node)
    except AssertionError:
        return None  # capacity and allocatable differ, for a moment


def test_of_two_managers_one_publishes_and_sigterm_hands_over_at_once(cluster: Cluster) -> None:
    cluster.policy()
    one = cluster.manager("--identity=one")
    two = cluster.manager("--identity=two")
    leader = cluster.leader()
    other = two if leader is one else one
    publishing(cluster, "n1")
    assert 'colocation_writes_total{kind="node"' not in other.http("/metrics")
    other.has_seen(NODES, cluster.get(NODES.path("n1")))
    assert other.json("/v1/explain/n1")["leader"] is False
    assert leader.json("/v1/explain/n1")["cpu"]["published"] == 5000
    began = time.monotonic()
    assert leader.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 3
    assert cluster.get(LEASES.path("colocation-manager", namespace=NAMESPACE))["spec"].get("holderIdentity", "") in (
        "",
        "one" if other is one else "two",
    )
    assert eventually(cluster.leader, 5) is other
    assert time.monotonic() - began < 6
    # Its caches were warm, and it has seen reports itself: the number may rise at once.
    cluster.report("n1", cpu=0)
    eventually(lambda: cluster.published("n1") == (6000, 60 * GI, 250))


def test_a_leader_that_slept_past_its_lease_does_not_write(cluster: Cluster) -> None:
    cluster.policy()
    one = cluster.manager("--identity=one")
    cluster.leader()
    publishing(cluster, "n1")
    two = cluster.manager("--identity=two")
    one.process.send_signal(signal.SIGSTOP)
    eventually(lambda: two.json("/readyz")["leader"], 25)
    writes = _writes(cluster, "n1")
    one.process.send_signal(signal.SIGCONT)
    cluster.report("n1", cpu=2000)
    eventually(lambda: cluster.published("n1") == (4000, 60 * GI, 250))
    time.sleep(1)
    assert not one.json("/readyz")["leader"]
    assert 'outcome="409"' not in one.http("/metrics")
    assert one.http("/metrics").count('colocation_writes_total{kind="node",outcome="ok"} 1.0') == 1
    assert _writes(cluster, "n1") > writes


def _writes(cluster: Cluster, node: str) -> int:
    return int(cluster.version(node))


def test_the_api_server_may_be_away_for_a_while(cluster: Cluster) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1")
    cluster.api.kill()
    time.sleep(12)  # longer than the lease is renewed for
    assert not manager.json("/readyz")["leader"]
    assert manager.json("/healthz")
    cluster.api.start()
    cluster.report("n1", cpu=2000)
    eventually(lambda: cluster.published("n1") == (4000, 60 * GI, 250), 30)


def test_dry_run_prints_patches_and_writes_nothing(cluster: Cluster) -> None:
    cluster.policy()
    cluster.node("n1")
    body = {
        "apiVersion": NODE_COLOCATIONS.group_version,
        "kind": "NodeColocation",
        "metadata": {"name": "n1"},
        "spec": {},
    }
    cluster.rest.create(NODE_COLOCATIONS.path(), body)
    cluster.report("n1")
    before = cluster.version("n1")
    dry = cluster.manager("--once", "--dry-run", "--log-level=error", ready=False)
    assert dry.process.wait(20) == 0
    lines = {line["path"]: line for line in map(json.loads, dry.log.read_text().splitlines())}
    assert lines["/api/v1/nodes/n1/status"]["body"]["status"]["capacity"]["kubernetes.io/be-cpu"] == "5000"
    assert cluster.version("n1") == before
    with pytest.raises(ApiError):
        cluster.get(LEASES.path("colocation-manager", namespace=NAMESPACE))
    once = cluster.manager("--once", ready=False)
    assert once.process.wait(30) == 0
    assert cluster.published("n1") == HEADROOM
