"""The chart by Helm alone, on a real cluster: one lab for the session, our image in its nodes, no playbook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from colocation.model.names import BE_CPU
from tests.chart_lab.prometheus import Prometheus
from tests.e2e.conftest import cluster as cluster  # noqa: PLC0414 - a fixture is used by its name
from tests.lab import binaries, machines
from tests.lab.cluster import Cluster
from tests.lab.config import CLONE
from tests.lab.process import run
from tests.lab.waiting import eventually

NAMESPACE = "openfuyao-colocation"
CHART = CLONE / "charts/colocation-package"
IMAGE = CLONE / "build/out/colocation-image.tar"
# Quick to report, and no wish to spare the machine: what is tried here wants numbers that move.
POLICY: dict[str, Any] = {
    "oversell": {
        "cpu": {"strategy": "usage", "reclaimPercent": 80, "quantum": "10m"},
        "memory": {"strategy": "usage"},
        "growAfterSeconds": 1,
        "staleAfterSeconds": 30,
    },
    "report": {"intervalSeconds": 5, "minIntervalSeconds": 1},
}


def helm(cluster: Cluster, *args: str) -> str:
    """Helm on the lab, as its administrator."""
    env = {**os.environ, "KUBECONFIG": str(cluster.lab.kubeconfig)}
    return run([binaries.path("helm"), *args, f"--namespace={NAMESPACE}"], env=env, timeout=300).stdout


def policy(cluster: Cluster, **spec: Any) -> None:
    """The one policy, changed where ``spec`` says so."""
    body = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "ColocationPolicy"}
    cluster.apply({**body, "metadata": {"name": "default"}, "spec": {**POLICY, **spec}})


def published(cluster: Cluster, node: str) -> int:
    """Millicores that a node offers; 0 while it offers nothing."""
    return cluster.published(node)[BE_CPU] or 0


@pytest.fixture(scope="session")
def bare(cluster: Cluster) -> Cluster:
    """Nodes with our image in them, and labelled; nothing is installed."""
    for node in cluster.lab.nodes:
        machines.load_image(cluster.lab, node, IMAGE)
        cluster.kubectl("label", "node", node.name, "node.openfuyao.com/colocation=true", "--overwrite")
    return cluster


@pytest.fixture(scope="session")
def installed(bare: Cluster) -> Cluster:
    """This chart, a policy, and numbers on both nodes."""
    helm(bare, "upgrade", "--install", "colocation", str(CHART), "--create-namespace", "--wait", "--timeout=3m")
    policy(bare)
    bare.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}})
    eventually(lambda: bare.kubectl("get", "sa", "-n", "work", "default", check=False), 20, "ServiceAccount of work")
    eventually(lambda: all(published(bare, node) > 0 for node in ("node1", "node2")), 60, "both nodes offer")
    return bare


@pytest.fixture(scope="session")
def prometheus(installed: Cluster) -> Iterator[Prometheus]:
    """A real Prometheus, configured by the very block in docs/monitoring.md."""
    binaries.ensure("prometheus")
    with Prometheus(installed.lab) as server:
        yield server
