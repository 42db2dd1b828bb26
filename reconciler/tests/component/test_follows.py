"""An agent's side of its NodeColocation, against a real API server: what it hears of, and what it says it follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colocation.agent.specs import KubeApi, Specs
from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.kube.rest import Rest
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .cluster import Cluster
from .proxy import Proxy

pytestmark = pytest.mark.apiserver


def generation(cluster: Cluster, node: str) -> int:
    found: int = cluster.ncol(node)["metadata"]["generation"]
    return found


def follows(specs: Specs, wanted: int) -> Callable[[], bool]:
    def look() -> bool:
        followed = specs.take()
        return followed is not None and followed.generation == wanted

    return look


def test_an_agent_whose_watch_hangs_while_its_patches_work_hears_of_the_next_spec(
    cluster: Cluster, api: ApiServer, tmp_path: Path
) -> None:
    base: dict[str, Any] = {"apiVersion": NODE_COLOCATIONS.group_version, "kind": "NodeColocation"}
    cluster.rest.create(NODE_COLOCATIONS.path(), {**base, "metadata": {"name": "n"}, "spec": {"enabled": True}})
    with Proxy(api, tmp_path) as proxy:
        agent = KubeApi(Rest(kubeconfig(str(proxy.kubeconfig))), "n", read_seconds=2)
        specs = Specs(tmp_path / "spec.json")
        agent.watch(specs.emit)
        eventually(follows(specs, 1))
        proxy.hush()
        pods = [{"uid": "u", "cpuLimit": 500, "running": True}]
        cluster.rest.patch(NODE_COLOCATIONS.path("n"), {"spec": {"pods": pods}})
        agent.patch_status({"status": {"observedGeneration": 1}})
        assert cluster.ncol("n")["status"]["observedGeneration"] == 1 < generation(cluster, "n")
        eventually(follows(specs, 2), 15)
        followed = specs.take()
        assert followed is not None
        assert [(pod.uid, pod.running) for pod in followed.spec.pods] == [("u", True)]
    specs.close()


def test_the_manager_says_which_best_effort_pods_run_and_changes_the_generation_with_it(cluster: Cluster) -> None:
    cluster.node("n")
    cluster.policy()
    cluster.manager()
    cluster.pod("p", "n", be=(500, 1 << 30))
    pods = eventually(lambda: cluster.ncol("n")["spec"].get("pods"))
    assert "running" not in pods[0], "what is not so is not written"
    before = generation(cluster, "n")
    cluster.report("n", observedGeneration=before)
    assert generation(cluster, "n") == before, "a report is no change of the spec"
    cluster.rest.patch("/api/v1/namespaces/default/pods/p/status", {"status": {"phase": "Running"}})
    eventually(lambda: cluster.ncol("n")["spec"]["pods"][0].get("running"))
    assert generation(cluster, "n") > before
