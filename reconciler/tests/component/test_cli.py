"""The command line against a real API server and a running manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from .cluster import GI, SOURCES, Cluster, eventually
from .test_manager import publishing

pytestmark = pytest.mark.apiserver


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
    url = f"--manager=http://127.0.0.1:{manager.port}"
    said = colocation("explain", "n1", "-o", "json", url)
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    for resource, carried in zip(("cpu", "memory"), cluster.published("n1"), strict=False):
        one = told[resource]
        assert sum(term["value"] for term in one["terms"]) == one["free"]
        result = min(max(one["free"], 0), one["ceiling"])
        assert result - result % one["quantum"] == one["published"] == one["onNode"] == carried
    table = colocation("explain", "n1", url).stdout
    assert "4,200m" in table
    assert "default/web" in table
    report = colocation("report", url).stdout
    assert "4,200m" in report


def test_no_manager_in_the_cluster_is_said_with_the_remedy(cluster: Cluster) -> None:
    said = colocation("explain", "n1", f"--kubeconfig={cluster.api.kubeconfig}")
    assert said.returncode == 1
    assert "no manager in namespace openfuyao-colocation" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_port_that_is_taken_is_said(cluster: Cluster) -> None:
    manager = cluster.manager()
    said = colocation("manager", f"--kubeconfig={cluster.api.kubeconfig}", f"--listen=127.0.0.1:{manager.port}")
    assert said.returncode == 1
    assert "in use" in said.stderr
    assert "Traceback" not in said.stderr
