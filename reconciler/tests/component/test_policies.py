"""What the manager says of policies and of moves, against a real API server: status, Events, canaries."""

from __future__ import annotations

from typing import Any

import pytest

from colocation.kube.resources import NODES, POLICIES
from tests.lab.waiting import eventually

from .cluster import GI, Cluster
from .test_manager import FAST, HEADROOM, publishing

pytestmark = pytest.mark.apiserver


def status(cluster: Cluster, name: str = "p") -> dict[str, Any]:
    found: dict[str, Any] = cluster.get(POLICIES.path(name)).get("status") or {}
    return found


def condition(cluster: Cluster, kind: str, name: str = "p") -> tuple[str, str, str]:
    for one in status(cluster, name).get("conditions", []):
        if one["type"] == kind:
            return one["status"], one["reason"], one["message"]
    return "", "", ""


def counts(cluster: Cluster, name: str = "p") -> tuple[int, ...]:
    return tuple(
        status(cluster, name).get(key, -1) for key in ("observedGeneration", "matchedNodes", "nodes", "reportingNodes")
    )


def test_a_policy_says_how_many_nodes_it_matches_has_and_hears(cluster: Cluster) -> None:
    cluster.policy()
    cluster.policy("stronger", priority=5, nodeSelector={"matchLabels": {"only": "n2"}}, oversell=FAST)
    cluster.manager()
    publishing(cluster, "n1")
    cluster.node("n2", label=True)
    cluster.rest.patch(NODES.path("n2"), {"metadata": {"labels": {"only": "n2"}}})
    eventually(lambda: counts(cluster) == (1, 2, 1, 1), 15)
    eventually(lambda: counts(cluster, "stronger") == (1, 1, 1, 0), 15)
    assert condition(cluster, "Ready") == ("True", "AllReporting", "every node has a fresh report")
    assert condition(cluster, "Ready", "stronger") == ("False", "NodesNotReporting", "no fresh report from n2")
    assert condition(cluster, "RolledOut")[:2] == ("True", "Complete")
    cluster.report("n2")
    eventually(lambda: condition(cluster, "Ready", "stronger")[0] == "True", 15)
    before = cluster.get(POLICIES.path("p"))["metadata"]["resourceVersion"]
    cluster.report("n1")
    eventually(lambda: counts(cluster, "stronger") == (1, 1, 1, 1), 15)
    assert cluster.get(POLICIES.path("p"))["metadata"]["resourceVersion"] == before  # nothing changed, nothing written


def test_a_move_by_more_than_a_tenth_leaves_an_event_that_adds_up(cluster: Cluster) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1")
    cluster.report("n1", cpu=1400)
    eventually(lambda: cluster.published("n1") == (4600, 60 * GI, 250))
    assert cluster.events("n1") == []  # 8 %
    cluster.pod("web", "n1", cpu="1", memory="1Gi")
    eventually(lambda: cluster.published("n1") == (3600, 59 * GI, 250))
    fell = eventually(lambda: cluster.events("n1"))[-1]
    assert (fell["reason"], fell["type"]) == ("PublishedDecreased", "Normal")
    for words in (
        "cpu: 10,000m - margin 4,000m - system 1,400m - online 1,000m - unrequested 0m - overhead 0m = 3,600m",
        "policy p generation 1",
        "default/web 1,000m 1Gi",
    ):
        assert words in fell["note"], fell["note"]
    assert cluster.api.kubectl("describe", "node", "n1").count("PublishedDecreased") == 1
    cluster.rest.patch(NODES.path("n1"), {"metadata": {"labels": {"node.openfuyao.com/colocation": None}}})
    gone = eventually(lambda: [e for e in cluster.events("n1") if e["reason"] == "Withdrawn"])[0]
    assert gone["type"] == "Warning"
    assert "not labelled" in gone["note"]
    assert '"top":{"default/web":[1000,' in manager.log.read_text()


CANARY = {"nodeSelector": {"matchLabels": {"canary": "yes"}}, "pauseSeconds": 10}
REPORT = {"intervalSeconds": 5, "minIntervalSeconds": 1}


def pressed(cluster: Cluster, name: str, cpu: float) -> None:
    cluster.report(name, pressure={"cpu": cpu, "memory": 0.0})


def test_a_change_goes_to_the_canary_and_when_that_is_well_to_all(cluster: Cluster) -> None:
    cluster.policy(oversell=FAST, report=REPORT)
    cluster.manager()
    publishing(cluster, "n1", "n2")
    cluster.rest.patch(NODES.path("n1"), {"metadata": {"labels": {"canary": "yes"}}})
    eventually(lambda: status(cluster).get("stable"), 15)
    spec = {"oversell": {"cpu": {"reclaimPercent": 50}}, "rollout": CANARY}
    cluster.rest.patch(POLICIES.path("p"), {"spec": spec})
    eventually(lambda: cluster.published("n1") == (4000, 60 * GI, 250))
    eventually(lambda: condition(cluster, "RolledOut")[:2] == ("False", "Progressing"))
    assert cluster.published("n2") == HEADROOM
    assert "1 canary nodes have it; generation 1 holds on the others" in condition(cluster, "RolledOut")[2]
    for _ in range(3):
        pressed(cluster, "n1", 1.0)
        pressed(cluster, "n2", 1.0)
    eventually(lambda: cluster.published("n2") == (4000, 60 * GI, 250), 30)
    eventually(lambda: condition(cluster, "RolledOut")[:2] == ("True", "Complete"), 15)
    assert [e["reason"] for e in cluster.events("p")] == ["RolledOut"]


def test_a_canary_under_pressure_stops_the_change_and_a_restart_keeps_it_stopped(cluster: Cluster) -> None:
    cluster.policy(oversell=FAST, report=REPORT)
    first = cluster.manager()
    publishing(cluster, "n1", "n2")
    cluster.rest.patch(NODES.path("n1"), {"metadata": {"labels": {"canary": "yes"}}})
    for name in ("n1", "n2"):
        pressed(cluster, name, 2.0)
    eventually(lambda: status(cluster).get("stable"), 15)
    cluster.rest.patch(POLICIES.path("p"), {"spec": {"oversell": {"cpu": {"reclaimPercent": 90}}, "rollout": CANARY}})
    eventually(lambda: cluster.published("n1") == (8000, 60 * GI, 250))
    pressed(cluster, "n1", 40.0)
    eventually(lambda: condition(cluster, "RolledOut")[:2] == ("False", "Stopped"), 40)
    assert (
        "cpu pressure of the canary nodes rose by 38.0 points against the others" in condition(cluster, "RolledOut")[2]
    )
    eventually(lambda: cluster.published("n1") == HEADROOM, what="back to what held before")
    assert cluster.published("n2") == HEADROOM
    [event] = eventually(lambda: cluster.events("p"))
    assert (event["reason"], event["type"]) == ("RolloutStopped", "Warning")
    assert first.end() == 0
    cluster.manager()
    cluster.leader()
    cluster.report("n1", cpu=900)
    cluster.report("n2", cpu=900)
    eventually(lambda: [cluster.published(n)[0] for n in ("n1", "n2")] == [5100, 5100], 15)
    assert condition(cluster, "RolledOut")[:2] == ("False", "Stopped")
    cluster.rest.patch(POLICIES.path("p"), {"spec": {"oversell": {"cpu": {"reclaimPercent": 60}}}})
    eventually(lambda: condition(cluster, "RolledOut")[:2] == ("True", "Complete"), 15)
