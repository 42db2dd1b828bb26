"""Pods and reports made to do harm, on a real API server: their node pays, the manager goes on, nothing is injected."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from colocation.cli.explain import render
from colocation.kube.resources import NODE_COLOCATIONS, PODS
from colocation.kube.rest import MERGE_PATCH, ApiError
from tests.lab.waiting import eventually

from .cluster import GI, Cluster, Manager
from .test_manager import HEADROOM, publishing

pytestmark = pytest.mark.apiserver
EVIL = '\x1b]0;owned\x07\n{"level":"fake"}\r\u202e\u2028\x9b31m' + "\N{PILE OF POO}"


def resident(manager: Manager) -> int:
    """Bytes."""
    pages = Path(f"/proc/{manager.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def nothing_was_injected(manager: Manager) -> None:
    lines = manager.log.read_text(encoding="ascii").splitlines()
    assert lines
    for line in lines:
        result = json.loads(line)
        assert result["level"] != "fake"
        assert "message" in result
    list(text_string_to_metric_families(manager.http("/metrics")))


def deep(levels: int) -> str:
    return '{"f:a":' * levels + "{}" + "}" * levels


def hostile_pod(name: str, node: str) -> bytes:
    """All at once: 200 kB of unicode and control characters, 1,000 containers, JSON of 9,000 levels."""
    annotations = {f"example.com/{i}": (EVIL * 1000)[:10_000] for i in range(9)} | {"openfuyao.com/qos-level": EVIL}
    containers = [{"name": f"c{i}", "image": "i", "resources": {"requests": {"cpu": "1m"}}} for i in range(1000)]
    managed = {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": "DEEP"}
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations, "managedFields": [managed]},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": containers},
    }
    return json.dumps(body).replace('"DEEP"', deep(9000)).encode()


def test_hostile_pods_cost_their_node_what_they_ask_for_and_nobody_else_anything(cluster: Cluster) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1", "n2")
    before = resident(manager)
    for number in range(20):
        cluster.rest.send("POST", PODS.path(namespace="default"), body=hostile_pod(f"evil{number}", "n1"))
    # 20 pods that no report has seen: online, for they do not say BE; 1,000 containers of 1m and 200Mi each pod.
    eventually(lambda: cluster.published("n1") == (0, (60 * 1024 - 20 * 200) // 64 * 64 * 2**20, 250))
    # The watch lives on: what comes afterwards is seen, on this node and on the other.
    cluster.pod("batch", "n2", be=(1000, GI), running=True)
    eventually(lambda: cluster.ncol("n2")["spec"]["pods"])
    assert cluster.published("n2") == HEADROOM
    # And so does a manager that lists them first.
    manager.end()
    fresh = cluster.manager()
    cluster.report("n2", cpu=2000)
    eventually(lambda: cluster.published("n2") == (4000, *HEADROOM[1:]))
    assert "\x1b" not in render(fresh.json("/v1/explain/n1"))
    assert resident(fresh) < before + 40 * 2**20
    for one in (manager, fresh):
        assert "list or watch failed" not in one.log.read_text()
    nothing_was_injected(fresh)


def test_a_pod_that_asks_for_more_than_there_can_be_costs_no_other_pod_its_limits(cluster: Cluster) -> None:
    """Its sums pass int64: the API server would refuse the whole spec, and later pods would get no limits."""
    cluster.policy(protect={"memoryLowPercent": 50})
    manager = cluster.manager()
    publishing(cluster, "n1", "n2")
    most = {"kubernetes.io/be-cpu": str(2**63 - 1), "kubernetes.io/be-memory": str(2**63 - 1)}
    containers = [{"name": name, "image": "i", "resources": {"requests": most, "limits": most}} for name in "ab"]
    for name, answer in (
        ("absurd", {"openfuyao.com/qos-level": "BE"}),
        ("mirror", {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.hash": "h" * 200_000}),
    ):
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": answer},
            "spec": {"nodeName": "n1", "terminationGracePeriodSeconds": 0, "containers": containers},
        }
        cluster.rest.create(PODS.path(namespace="default"), body)
        path = PODS.path(name, namespace="default", sub="status")
        cluster.rest.patch(path, {"status": {"phase": "Running"}})
    uid = cluster.pod("batch", "n1", be=(1000, GI), running=True)["metadata"]["uid"]
    online = cluster.pod("web", "n1", cpu="1")["metadata"]["uid"]
    rows = eventually(
        lambda: {p["uid"]: p for p in cluster.ncol("n1")["spec"]["pods"] if uid in str(cluster.ncol("n1"))}
    )
    assert (rows[uid]["cpuLimit"], rows[uid]["memoryLimit"]) == (1000, GI)
    (other,) = (row for row in rows.values() if row["uid"] != uid)
    assert (other["cpuRequest"], other["cpuLimit"], other["memoryLimit"]) == (2**63 - 1,) * 3
    assert eventually(lambda: [p["uid"] for p in cluster.ncol("n1")["spec"]["online"]]) == [online]
    # What is allocated to running pods stands on the Node, closed, and the manager does not write it again and again.
    eventually(lambda: cluster.published("n1") == (2**63 - 1, 2**63 - 1, None))
    version = cluster.version("n1")
    cluster.report("n2", cpu=2000)
    eventually(lambda: cluster.published("n2") == (4000, *HEADROOM[1:]))
    assert cluster.version("n1") == version
    assert "write refused" not in manager.log.read_text()


LIES = {
    "nothing is used": {"node": {"cpu": 0, "memory": 0}, "system": {"cpu": 0, "memory": 0}, "pods": []},
    "10^18 cores": {"node": {"cpu": 10**18, "memory": 1}, "system": {"cpu": 10**18, "memory": 1}},
    "far future": {"observedAt": "9999-12-31T23:59:59Z"},
    "long ago": {"observedAt": "0001-01-01T00:00:00+14:00"},
    "no time": {"observedAt": EVIL},
    "peak below mean": {"node": {"cpu": 9, "cpuPeak": 1, "memory": 0}, "system": {"cpu": 1, "memory": 0}},
    "one pod a hundred times": {"pods": [{"uid": "u", "cpu": 2**62, "memory": 2**62}] * 100},
    "text": {"engine": {"reason": EVIL * 10, "cpuUsed": 2**62}, "agentVersion": EVIL},
}


def test_lies_offer_no_more_than_the_policy_allows_and_are_told(cluster: Cluster) -> None:
    shares = {"cpu": {"strategy": "usage", "reclaimPercent": 100, "maxPercent": 40}}
    shares["memory"] = {"strategy": "usage", "reclaimPercent": 100, "maxPercent": 30}
    cluster.policy(oversell={**shares, "growAfterSeconds": 0})
    manager = cluster.manager()
    most = (4000, 30 * GI, 250)
    nodes = {f"liar{number}": lie for number, lie in enumerate(LIES.values())}
    for node in ("honest", *nodes):
        cluster.node(node)
        eventually(lambda node=node: cluster.ncol(node))
    own: dict[str, Any] = {"node": {"cpu": 0, "memory": 0}, "system": {"cpu": 0, "memory": 0}, "observedAt": "?"}
    for seconds in (60, 61):
        for node, lie in nodes.items():
            answer = {"windowSeconds": seconds, **own, **lie}
            cluster.rest.patch(NODE_COLOCATIONS.path(node, sub="status"), {"status": answer})
    cluster.report("honest", cpu=0, memory=0, observedAt=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    eventually(lambda: cluster.published("honest") == most)
    text = manager.http("/metrics")
    for node in nodes:
        cpu, memory, _ = cluster.published(node)
        assert (cpu or 0) <= most[0]
        assert (memory or 0) <= most[1]
        result = manager.json(f"/v1/explain/{node}")
        assert result["report"]["suspicions"], node
        assert "\x1b" not in render(result)
        assert re.search(rf'^colocation_node_report_suspect{{node="{node}",suspicion="\w+"}} 1', text, re.MULTILINE), (
            node
        )
    assert manager.json("/v1/explain/honest")["report"]["suspicions"] == []
    assert 'colocation_node_report_suspect{node="honest",suspicion="Clock"}' not in text
    assert manager.log.read_text().count("report is suspect") == len(nodes)
    nothing_was_injected(manager)


def test_pods_of_other_nodes_are_counted_against_the_liar_and_told(cluster: Cluster) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1", "n2")
    uid = cluster.pod("web", "n2", cpu="1")["metadata"]["uid"]
    cluster.report("n2", pods=({"uid": uid, "cpu": 100, "memory": 0},))
    eventually(lambda: cluster.published("n2") == (4900, *HEADROOM[1:]))
    for cpu in (900, 1000):
        cluster.report("n1", pods=({"uid": uid, "cpu": cpu, "memory": 0},))
    eventually(lambda: cluster.published("n1") == (4000, *HEADROOM[1:]))
    assert cluster.published("n2") == (4900, *HEADROOM[1:])
    eventually(lambda: 'node="n1",suspicion="UnknownPods"' in manager.http("/metrics"))
    (row,) = [d for d in manager.json("/v1/explain/n1")["report"]["suspicions"] if "does not have" in d]
    assert row == "1 of 1 rows are of pods that this node does not have"


REFUSED = {
    "negative use": {"node": {"cpu": -1}},
    "10^19": {"node": {"cpu": 10**19}},
    "60,000 pods": {"pods": [{"uid": str(i)} for i in range(60_000)]},
    "a uid of a megabyte": {"pods": [{"uid": "u" * 2**20}]},
    "a megabyte of words": {"engine": {"reason": "x" * 2**20}},
    "10,000 conditions": {
        "conditions": [
            {"type": str(i), "status": "True", "reason": "", "message": "", "lastTransitionTime": ""}
            for i in range(10_000)
        ]
    },
    "10,000 features": {"capabilities": {"features": ["x"] * 10_000}},
}


@pytest.mark.parametrize("lie", REFUSED)
def test_the_schema_refuses_what_no_agent_has_to_say(cluster: Cluster, lie: str) -> None:
    cluster.rest.create(
        NODE_COLOCATIONS.path(),
        {"apiVersion": NODE_COLOCATIONS.group_version, "kind": "NodeColocation", "metadata": {"name": "n1"}},
    )
    with pytest.raises(ApiError) as result:
        cluster.rest.patch(NODE_COLOCATIONS.path("n1", sub="status"), {"status": REFUSED[lie]})
    assert result.value.code == 422


@pytest.mark.usefixtures("anything_goes")
def test_beyond_the_schema_a_lie_still_costs_its_own_node_only(cluster: Cluster) -> None:
    """As if the CRD were older, newer or gone: the manager decodes with bounds of its own.

    A lie about use withdraws its node; beside the numbers it costs only itself.
    """
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1", "n2")
    before, unusable = resident(manager), "the report cannot be used"
    nothing = {"deep": None} | {key: None for lie in REFUSED.values() for key in lie}
    lies = {json.dumps({"status": nothing | lie}): {"node", "pods"} & lie.keys() for lie in REFUSED.values()}
    lies['{"status":{"deep":' + deep(5000) + "}}"] = set()
    for number, (body, of_use) in enumerate(lies.items()):
        path = NODE_COLOCATIONS.path("n1", sub="status")
        cluster.rest.send("PATCH", path, body=body.encode(), kind=MERGE_PATCH)
        cluster.report("n2", cpu=1000 + 100 * number)
        eventually(lambda number=number: cluster.published("n2") == (5000 - 100 * number, *HEADROOM[1:]))
        eventually(lambda of_use=of_use: (unusable in str(cluster.withdrawn("n1"))) is bool(of_use))
        if of_use:
            assert cluster.published("n1") == (None, None, None)
    assert resident(manager) < before + 60 * 2**20
    nothing_was_injected(manager)
