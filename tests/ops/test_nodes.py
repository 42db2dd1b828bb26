"""Nodes that come and go, and preflight's report, on real machines. Images come by archive: no registry is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import differences, snapshot
from tests.lab.cluster import Cluster
from tests.ops import versions
from tests.ops.conftest import NS, agents, changed, lease, manager, play

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> dict[str, object]:
    """What cluster and machines looked like before anything was rolled out."""
    return snapshot(cluster)


@pytest.fixture(scope="module")
def one(cluster: Cluster, before: dict[str, object]) -> Cluster:
    """Rolled out to node1 only."""
    play(cluster, versions.ours(), "site", "--limit", "node1")
    return cluster


def manager_nodes(cluster: Cluster) -> list[str]:
    pods = cluster.get("pods", *NS, "-l", "app.kubernetes.io/component=manager")["items"]
    return sorted(p["spec"]["nodeName"] for p in pods if "deletionTimestamp" not in p["metadata"])


def pinned(cluster: Cluster) -> list[str]:
    spec = cluster.get("deployment", *NS, "colocation-manager")["spec"]["template"]["spec"]
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return sorted(term["matchFields"][0]["values"][0] for term in required["nodeSelectorTerms"])


def test_preflight_reports_in_words_and_as_json_and_changes_nothing(
    cluster: Cluster, before: dict[str, object], tmp_path: Path
) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"cpu": "1"}}}
    cluster.apply(quota)
    report = tmp_path / "report.json"
    output = play(cluster, versions.ours(), "preflight", "-e", f"colocation_report={report}")
    cluster.kubectl("delete", "resourcequota", "q")
    assert "Nothing speaks against a rollout." in output
    assert "Namespace default: ResourceQuota q counts cpu" in output
    found = json.loads(report.read_text())
    assert found["can_be_rolled_out"] is True
    assert set(found["hosts"]) == {"node1", "node2"}
    assert found["hosts"]["node1"]["features"]["cpu.quota"]["available"] is True
    missing = [name for name, row in found["hosts"]["node1"]["features"].items() if not row["available"]]
    assert all(name in output for name in missing if name in ("resctrl", "memory.low"))
    assert changed(output) == 0
    assert snapshot(cluster) == before


def test_a_first_rollout_to_some_nodes_runs_the_manager_where_its_image_is(one: Cluster) -> None:
    assert pinned(one) == ["node1"]
    assert manager_nodes(one) == ["node1"]
    assert one.nodes() == ["node1"]


def test_add_nodes_lets_a_node_join_and_leaves_the_others_alone(one: Cluster) -> None:
    before = one.get("pods", *NS, "-l", "app.kubernetes.io/component=manager")["items"][0]["metadata"]["uid"]
    play(one, versions.ours(), "add_nodes", "--limit", "node2")
    assert one.nodes() == ["node1", "node2"]
    assert set(agents(one)) == {"node1", "node2"}
    assert one.get("pods", *NS, "-l", "app.kubernetes.io/component=manager")["items"][0]["metadata"]["uid"] == before
    assert changed(play(one, versions.ours(), "add_nodes", "--limit", "node2")) == 0


def test_remove_nodes_wants_to_be_told_which(one: Cluster) -> None:
    assert "Say with --limit" in play(one, versions.ours(), "remove_nodes", fails=True)


def test_the_last_node_with_the_managers_image_may_not_leave(one: Cluster) -> None:
    output = play(one, versions.ours(), "remove_nodes", "--limit", "node1", fails=True)
    assert "Only the nodes that leave (node1) have the manager's image" in output
    assert one.nodes() == ["node1", "node2"]
    play(one, versions.ours(), "site")  # now both have it
    assert pinned(one) == ["node1", "node2"]


def test_a_node_with_a_pod_that_needs_the_label_is_not_let_go_and_the_pod_is_named(one: Cluster) -> None:
    spec = {
        "nodeSelector": {"node.openfuyao.com/colocation": "true", "kubernetes.io/hostname": "node1"},
        "containers": [{"name": "c", "image": "localhost/busybox:1", "command": ["sleep", "100000"]}],
        "terminationGracePeriodSeconds": 0,
    }
    one.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "needs"}, "spec": spec})
    one.kubectl("wait", "--for=condition=Ready", "pod/needs", "--timeout=60s")
    output = play(one, versions.ours(), "remove_nodes", "--limit", "node1", fails=True)
    assert "default/needs" in output
    assert one.nodes() == ["node1", "node2"]
    assert pinned(one) == ["node1", "node2"], "nothing was changed"
    one.kubectl("delete", "pod", "needs")


def test_a_node_that_leaves_is_as_it_was_and_the_manager_moves_away(one: Cluster, before: dict[str, object]) -> None:
    play(one, versions.ours(), "remove_nodes", "--limit", "node1")
    assert one.nodes() == ["node2"]
    assert pinned(one) == manager_nodes(one) == ["node2"]
    assert manager(one) == versions.ours().number
    after = snapshot(one)
    mine = [key for key in before if key.startswith("node1")]
    assert {key: after[key] for key in mine} == {key: before[key] for key in mine}
    assert changed(play(one, versions.ours(), "remove_nodes", "--limit", "node1")) == 0
    assert lease(one) == ""


def test_uninstall_leaves_nothing_after_that(one: Cluster, before: dict[str, object]) -> None:
    play(one, versions.ours(), "uninstall")
    assert differences(before, snapshot(one)) == {}
