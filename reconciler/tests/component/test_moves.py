"""Pods move off a full node on the real API server: read first, budgets kept, told on the pod, within the rate."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from colocation.cli.explain import render
from colocation.kube.resources import NODES, PODS
from tests.lab.waiting import eventually

from .cluster import GI, Cluster
from .test_evictions import budgets, result
from .test_manager import FAST, publishing
from .test_rights import rights

__all__ = ["budgets", "rights"]  # fixtures
pytestmark = pytest.mark.apiserver
SECONDS = 2
OURS = {"kubernetes.io/be-cpu": "200", "kubernetes.io/be-memory": str(GI)}


def batch(cluster: Cluster, name: str, node: str = "n1", **spec: Any) -> None:
    """A best-effort pod of a Job, with 200m."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "annotations": {"openfuyao.com/qos-level": "BE"},
            "ownerReferences": spec.pop("owners", [owner]),
        },
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i", "resources": {"requests": OURS, "limits": OURS}}],
            **spec,
        },
    }
    cluster.rest.create(PODS.path(namespace="default"), body)
    cluster.rest.patch(PODS.path(name, namespace="default", sub="status"), {"status": {"phase": "Running"}})


def left(cluster: Cluster) -> set[str]:
    return {item["metadata"]["name"] for item in cluster.get(PODS.path(namespace="default"))["items"]}


def fill(cluster: Cluster, *more: str, nodes: tuple[str, ...] = ("n1", "n2")) -> Any:
    """A policy that moves, and published nodes."""
    cluster.policy(oversell=FAST, evict={"cpu": {"closedSeconds": SECONDS}})
    manager = cluster.manager(*more)
    publishing(cluster, *nodes)
    for node in nodes:  # the API server taints a new Node as not ready, and no controller takes that away here
        cluster.rest.patch(NODES.path(node), {"spec": {"taints": None}})
    return manager


def shrink(cluster: Cluster) -> None:
    """Online work comes back: of 600m, 200m have room."""
    cluster.report("n1", cpu=5800)
    eventually(lambda: cluster.published("n1")[2] is None, what="closed")


def test_what_can_move_does_until_the_excess_is_gone_and_what_stays_is_explained(
    cluster: Cluster, rights: str, budgets: Callable[..., None]
) -> None:
    manager = fill(cluster, f"--kubeconfig={rights}", "--evictions-per-minute=0")
    pinned = {"kubernetes.io/hostname": "elsewhere"}
    batch(cluster, "a-bare", owners=[])
    batch(cluster, "b-disk", volumes=[{"name": "v", "hostPath": {"path": "/x"}}])
    batch(cluster, "c-pinned", nodeSelector=pinned)
    batch(cluster, "d-budget")
    budgets("keep", "d-budget", minAvailable=1)
    online = cluster.pod("online", "n1")  # unseen, it counts with 250m
    eventually(lambda: len(cluster.ncol("n1")["spec"]["pods"]) == 4)
    cluster.report("n1", cpu=5350)  # 400m of 800m have room

    def looked() -> Any:
        now = manager.json("/v1/explain/n1")
        return now if len([row for row in now["evictions"] if row["stays"]]) == 4 else None

    explained = eventually(looked, 40, "all four were looked at")
    assert left(cluster) == {"a-bare", "b-disk", "c-pinned", "d-budget", "online"}
    for name in ("e", "f"):
        batch(cluster, name)
    eventually(lambda: not left(cluster) & {"e", "f"}, 60, "the two that can have moved")
    assert left(cluster) == {"a-bare", "b-disk", "c-pinned", "d-budget", "online"}
    assert cluster.get(PODS.path("online", namespace="default"))["metadata"]["uid"] == online["metadata"]["uid"]
    assert "n2 has room" in eventually(lambda: result(cluster, "e").get("Evicted"))
    cluster.report("n1", cpu=4950)
    eventually(lambda: cluster.published("n1")[2] is not None, what="open again")
    stays = {row["pod"]: row["stays"] or "" for row in explained["evictions"]}
    assert stays["default/a-bare"] == "it has no controller that would create it again"
    assert "volume v (hostPath)" in stays["default/b-disk"]
    assert "nodeSelector, node affinity or tolerations" in stays["default/c-pinned"]
    assert "429 TooManyRequests" in stays["default/d-budget"]
    assert "EvictionRefused" in result(cluster, "d-budget")
    assert "stays: it has no controller" in render(explained)
    assert manager.end() == 0
    assert "Forbidden" not in manager.log.read_text()


def test_nothing_moves_while_the_other_node_is_closed_or_tainted(cluster: Cluster) -> None:
    manager = fill(cluster, "--evictions-per-minute=0")
    for name in ("a", "b", "c"):
        batch(cluster, name)
    cluster.rest.patch(
        NODES.path("n2"), {"spec": {"taints": [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]}}
    )
    eventually(lambda: len(cluster.ncol("n1")["spec"]["pods"]) == 3)
    shrink(cluster)
    eventually(lambda: len(manager.json("/v1/explain/n1")["evictions"]) == 3, 40, "all three were looked at")
    assert left(cluster) == {"a", "b", "c"}
    words = json.dumps(manager.json("/v1/explain/n1")["evictions"])
    assert "nodeSelector, node affinity or tolerations keep it off" in words
