"""The command line against a real API server and a running manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colocation.kube.resources import NODES
from tests.lab.waiting import eventually

from .cluster import GI, SOURCES, Cluster, Manager
from .test_manager import FAST, publishing

pytestmark = pytest.mark.apiserver


def by(cluster: Cluster, manager: Manager) -> tuple[str, str]:
    """Ask this manager itself, with a proof from the API server."""
    return f"--manager=http://127.0.0.1:{manager.port}", f"--kubeconfig={cluster.api.kubeconfig}"


def colocation(*args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        [sys.executable, "-m", "colocation", *args], env=env, capture_output=True, text=True, timeout=30, check=False
    )


def test_explain_adds_up_to_what_the_node_carries(cluster: Cluster) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1")
    pod = cluster.pod("web", "n1", cpu="1", memory="1Gi")
    cluster.report("n1", pods=({"uid": pod["metadata"]["uid"], "cpu": 777, "memory": 3 * GI},))
    eventually(lambda: cluster.published("n1") == (4200, 57 * GI, 250))
    url = by(cluster, manager)
    given = colocation("explain", "n1", "-o", "json", *url)
    assert given.returncode == 0, given.stderr
    answer = json.loads(given.stdout)
    for resource, carried in zip(("cpu", "memory"), cluster.published("n1"), strict=False):
        one = answer[resource]
        assert sum(term["value"] for term in one["terms"]) == one["free"]
        result = min(max(one["free"], 0), one["ceiling"])
        assert result - result % one["quantum"] == one["published"] == one["onNode"] == carried
    table = colocation("explain", "n1", *url).stdout
    assert "4,200m" in table
    assert "default/web" in table
    report = colocation("report", *url).stdout
    assert "4,200m" in report


def test_a_policy_is_simulated_and_then_does_what_was_said(cluster: Cluster, tmp_path: Path) -> None:
    cluster.policy()
    manager = cluster.manager()
    publishing(cluster, "n1", "n2")
    labelled = cluster.rest.patch(NODES.path("n2"), {"metadata": {"labels": {"pool": "x"}}})
    manager.has_seen(NODES, labelled)
    versions = [cluster.version(n) for n in ("n1", "n2")]
    spec: dict[str, Any] = {
        "priority": 9,
        "nodeSelector": {"matchLabels": {"pool": "x"}},
        "oversell": {**FAST, "maxPods": 7, "cpu": {"strategy": "usage", "reclaimPercent": 40}},
    }
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"kind": "ColocationPolicy", "metadata": {"name": "x"}, "spec": spec}))
    url = by(cluster, manager)
    given = colocation("simulate", str(file), "-o", "json", *url)
    assert given.returncode == 0, given.stderr
    one, two = json.loads(given.stdout)["nodes"]
    assert one["now"] == one["then"]
    assert two["now"]["cpu"] == 5000
    assert two["then"] == {"policy": "x", "cpu": 3000, "memory": 60 * GI, "open": True, "maxPods": 7}
    assert "p -> x" in colocation("simulate", str(file), *url).stdout
    assert [cluster.version(n) for n in ("n1", "n2")] == versions  # nothing was written
    cluster.policy("x", **spec)
    eventually(lambda: cluster.published("n2") == (3000, 60 * GI, 7))
    gone = json.loads(colocation("simulate", "--delete", "p", "--delete", "x", "-o", "json", *url).stdout)["nodes"]
    assert [node["then"]["cpu"] for node in gone] == [None, None]
    history = colocation("explain", "n2", "--history", f"--kubeconfig={cluster.api.kubeconfig}").stdout
    assert "PublishedDecreased" in history
    assert "policy x generation 1" in history


def test_no_manager_in_the_cluster_is_said_with_the_remedy(cluster: Cluster) -> None:
    given = colocation("explain", "n1", f"--kubeconfig={cluster.api.kubeconfig}")
    assert given.returncode == 1
    assert "no manager in namespace openfuyao-colocation" in given.stderr
    assert "Traceback" not in given.stderr


def test_a_port_that_is_taken_is_said(cluster: Cluster) -> None:
    manager = cluster.manager()
    given = colocation("manager", f"--kubeconfig={cluster.api.kubeconfig}", f"--listen=127.0.0.1:{manager.port}")
    assert given.returncode == 1
    assert "in use" in given.stderr
    assert "Traceback" not in given.stderr
