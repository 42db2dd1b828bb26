"""Evictions on the real API server: the Node first, PodDisruptionBudgets kept, told on the pod."""

from __future__ import annotations

from typing import Any

import pytest

from colocation.kube.resources import EVENTS, PODS, Resource
from tests.lab.waiting import eventually

from .cluster import GI, Cluster
from .test_manager import publishing

pytestmark = pytest.mark.apiserver
BUDGETS = Resource("policy/v1", "poddisruptionbudgets", namespaced=True)


def there(cluster: Cluster, name: str) -> bool:
    items = cluster.get(PODS.path(namespace="default"))["items"]
    return name in {item["metadata"]["name"] for item in items}


def told(cluster: Cluster, name: str) -> dict[str, str]:
    items: list[dict[str, Any]] = cluster.get(EVENTS.path(namespace="default"))["items"]
    return {e["reason"]: e["note"] for e in items if e["regarding"]["name"] == name}


def test_a_budget_is_kept_then_the_pod_goes_the_node_lowered_first(cluster: Cluster) -> None:
    cluster.policy()
    cluster.manager("--evictions-per-minute=0")
    publishing(cluster, "n1")
    pod = cluster.pod("batch", "n1", be=(2000, GI), running=True)
    cluster.rest.patch(PODS.path("batch", namespace="default"), {"metadata": {"labels": {"app": "batch"}}})
    before = cluster.published("n1")[0]
    assert before
    budget = {"metadata": {"name": "keep"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "batch"}}}}
    cluster.rest.create(BUDGETS.path(namespace="default"), {"apiVersion": "policy/v1", **budget})
    try:
        # Nobody runs the disruption controller here: its sentence is ours to write.
        status = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 1}
        path = BUDGETS.path("keep", namespace="default", sub="status")
        cluster.rest.patch(path, {"status": {**status, "expectedPods": 1}})
        eventually(lambda: cluster.ncol("n1")["spec"]["pods"])
        wish = {"uid": pod["metadata"]["uid"], "reason": "MemoryHigh", "message": "memory in use is 90Gi of 100Gi"}
        cluster.report("n1", evictionRequests=[wish])
        eventually(lambda: "EvictionRefused" in told(cluster, "batch"))
        assert cluster.published("n1") == (before - 2000, cluster.published("n1")[1], None), "lowered and closed"
        assert there(cluster, "batch")
    finally:
        cluster.rest.delete(BUDGETS.path("keep", namespace="default"))
    eventually(lambda: not there(cluster, "batch"), 20)
    assert "memory in use is 90Gi of 100Gi" in eventually(lambda: told(cluster, "batch").get("Evicted"))
    cluster.report("n1", evictionRequests=[])
    eventually(lambda: cluster.published("n1")[2] is not None, what="open again")
