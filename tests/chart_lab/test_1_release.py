"""Helm on a live cluster: from the chart before this one, back and forth, while nodes go on offering."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chart.conftest import DATA
from tests.chart_lab.conftest import CHART, NAMESPACE, helm, policy, published
from tests.lab.cluster import Cluster
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab
PREVIOUS = str(DATA / "colocation-package-0.0.1.tgz")


@contextmanager
def always_offering(cluster: Cluster) -> Iterator[None]:
    """Looks at both Nodes each half second; the end of the block says whether one of them ever published nothing."""
    gaps, done = list[str](), threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            gaps.extend(node for node in ("node1", "node2") if published(cluster, node) == 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert gaps == []


def test_the_chart_before_this_one_offers(bare: Cluster) -> None:
    # One image for both charts: the first one's own is not kept. What differs here is the chart.
    helm(
        bare, "install", "colocation", PREVIOUS, "--create-namespace", "--set=image.tag=0.1.0", "--wait", "--timeout=3m"
    )
    policy(bare)
    eventually(lambda: all(published(bare, node) > 0 for node in ("node1", "node2")), 60, "both nodes offer")


def test_upgrade_and_rollback_withdraw_nothing(bare: Cluster) -> None:
    wait = ("--wait", "--timeout=3m")
    with always_offering(bare):
        helm(bare, "upgrade", "colocation", str(CHART), "--set=manager.replicas=2,networkPolicy.enabled=true", *wait)
    managers = bare.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=manager")["items"]
    assert {p["spec"]["nodeName"] for p in managers if "deletionTimestamp" not in p["metadata"]} == {"node1", "node2"}
    with always_offering(bare):
        helm(bare, "rollback", "colocation", "1", *wait)
    with always_offering(bare):
        helm(bare, "upgrade", "colocation", str(CHART), *wait)
    assert len(json.loads(helm(bare, "history", "colocation", "-o", "json"))) == 4


def test_helm_test_asks_the_manager_and_leaves_nothing(installed: Cluster) -> None:
    given = helm(installed, "test", "colocation", "--timeout=2m")
    assert "Phase:          Succeeded" in given
    left = installed.kubectl("get", "pods,sa,rolebindings", "-n", NAMESPACE, "-o", "name")
    assert "colocation-test" not in left


def test_helm_test_fails_while_no_manager_answers(installed: Cluster) -> None:
    scale = ("scale", "deployment", "colocation-manager", "-n", NAMESPACE)
    installed.kubectl(*scale, "--replicas=0")
    try:
        gone = ("wait", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=manager", "--for=delete")
        installed.kubectl(*gone, "--timeout=60s")
        with pytest.raises(Exception, match="colocation-test"):
            helm(installed, "test", "colocation", "--timeout=1m")
    finally:
        installed.kubectl(*scale, "--replicas=1")
        installed.kubectl("rollout", "status", "deployment/colocation-manager", "-n", NAMESPACE, "--timeout=60s")
