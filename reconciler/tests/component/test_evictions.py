"""Evictions on the real API server: the Node first, PodDisruptionBudgets kept, told on the pod."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from colocation.cli.explain import render
from colocation.kube.resources import EVENTS, PODS, Resource
from tests.lab.waiting import eventually

from .cluster import GI, Cluster
from .test_manager import publishing

pytestmark = pytest.mark.apiserver
BUDGETS = Resource("policy/v1", "poddisruptionbudgets", namespaced=True)


def there(cluster: Cluster, name: str) -> bool:
    items = cluster.get(PODS.path(namespace="default"))["items"]
    return name in {item["metadata"]["name"] for item in items}


def result(cluster: Cluster, name: str) -> dict[str, str]:
    items: list[dict[str, Any]] = cluster.get(EVENTS.path(namespace="default"))["items"]
    return {e["reason"]: e["note"] for e in items if e["regarding"]["name"] == name}


@pytest.fixture
def budgets(cluster: Cluster) -> Iterator[Callable[..., None]]:
    """Makes PodDisruptionBudgets, with the status that the disruption controller (none runs here) would write."""

    def make(name: str, pod: str, **allowed: int) -> None:
        cluster.rest.patch(PODS.path(pod, namespace="default"), {"metadata": {"labels": {"app": pod}}})
        spec = {**allowed, "selector": {"matchLabels": {"app": pod}}}
        body = {"apiVersion": "policy/v1", "metadata": {"name": name}, "spec": spec}
        cluster.rest.create(BUDGETS.path(namespace="default"), body)
        status = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 1}
        path = BUDGETS.path(name, namespace="default", sub="status")
        cluster.rest.patch(path, {"status": {**status, "expectedPods": 1}})

    yield make
    cluster.rest.delete(BUDGETS.path(namespace="default"))


def wish(*pods: Any) -> list[dict[str, str]]:
    words = "memory in use is 90Gi of 100Gi"
    return [{"uid": pod["metadata"]["uid"], "reason": "MemoryHigh", "message": words} for pod in pods]


def test_a_budget_is_kept_then_the_pod_goes_the_node_lowered_first(
    cluster: Cluster, budgets: Callable[..., None]
) -> None:
    cluster.policy()
    cluster.manager("--evictions-per-minute=0")
    publishing(cluster, "n1")
    pod = cluster.pod("batch", "n1", be=(2000, GI), running=True)
    before = cluster.published("n1")[0]
    assert before
    budgets("keep", "batch", minAvailable=1)
    eventually(lambda: cluster.ncol("n1")["spec"]["pods"])
    cluster.report("n1", evictionRequests=wish(pod))
    eventually(lambda: "EvictionRefused" in result(cluster, "batch"))
    assert cluster.published("n1") == (before - 2000, cluster.published("n1")[1], None), "lowered and closed"
    assert there(cluster, "batch")
    cluster.rest.delete(BUDGETS.path("keep", namespace="default"))
    eventually(lambda: not there(cluster, "batch"), 20)
    assert "memory in use is 90Gi of 100Gi" in eventually(lambda: result(cluster, "batch").get("Evicted"))
    cluster.report("n1", evictionRequests=[])
    eventually(lambda: cluster.published("n1")[2] is not None, what="open again")


@pytest.mark.parametrize(
    ("names", "answer"),
    [(("keep",), "429 TooManyRequests"), (("keep", "also"), "500 Internal Server Error")],
    ids=["one budget", "two budgets"],
)
def test_a_pod_that_its_budget_keeps_does_not_hold_up_the_next_of_the_list(
    cluster: Cluster, budgets: Callable[..., None], names: tuple[str, ...], answer: str
) -> None:
    cluster.policy()
    manager = cluster.manager("--evictions-per-minute=0")
    publishing(cluster, "n1")
    a = cluster.pod("a", "n1", be=(100, 3 * GI), running=True)
    b = cluster.pod("b", "n1", be=(2000, 40 * GI), running=True)
    c = cluster.pod("c", "n1", be=(100, GI), running=True)
    before = cluster.published("n1")
    for name in names:
        budgets(name, "a", maxUnavailable=0)
    eventually(lambda: len(cluster.ncol("n1")["spec"]["pods"]) == 3)
    cluster.report("n1", evictionRequests=wish(a, b, c))
    eventually(lambda: not there(cluster, "b"), 20)
    assert before[0] is not None
    assert cluster.published("n1")[0] == before[0] - 2000, "lowered by what b requested"
    assert cluster.published("n1")[2] is None
    # One at a time: c stays until the agent has looked again, and a is kept.
    (row,) = eventually(lambda: cluster.ncol("n1")["spec"]["evictionRefusals"])
    assert row["uid"] == a["metadata"]["uid"]
    assert row["message"].startswith(answer)
    assert answer in eventually(lambda: result(cluster, "a").get("EvictionRefused"))
    refused = {e["pod"]: e["refused"] for e in manager.json("/v1/explain/n1")["evictions"]}
    assert refused["default/a"] == row["message"]
    assert answer in render(manager.json("/v1/explain/n1"))
    assert there(cluster, "a")
    assert there(cluster, "c")
    cluster.report("n1", evictionRequests=wish(c, a))
    eventually(lambda: not there(cluster, "c"), 20)
    cluster.report("n1", evictionRequests=[])
    eventually(lambda: cluster.published("n1")[2] is not None, what="open again")
    assert there(cluster, "a")
