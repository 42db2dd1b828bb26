"""The manager with the rights that the chart gives it, and nothing more."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.kube.rest import ApiError, Rest
from tests.lab import binaries
from tests.lab.process import run
from tests.lab.waiting import eventually

from .cluster import CRDS, GI, NAMESPACE, Cluster
from .test_manager import publishing

pytestmark = pytest.mark.apiserver
CHART = CRDS.parents[1]
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:colocation-manager"


@pytest.fixture
def rights(cluster: Cluster) -> str:
    """A kubeconfig of the manager's account, with its RBAC and its guard in place as the chart renders them."""
    binaries.ensure("helm")
    served = ["--kube-version=1.36.3", "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"]
    helm = [binaries.path("helm"), "template", "x", CHART, f"--namespace={NAMESPACE}", *served]
    wanted = [one for one in yaml.safe_load_all(run(helm).stdout) if one and _of_the_manager(one)]
    assert len(wanted) >= 6, [one["kind"] for one in wanted]
    stream = yaml.safe_dump_all(wanted)
    cluster.api.kubectl("apply", "-f", "-", stdin=stream)
    return str(cluster.api.user(ACCOUNT, ["system:serviceaccounts", "system:authenticated"]))


def _of_the_manager(one: dict[str, Any]) -> bool:
    named = str(one["metadata"]["name"]).startswith("colocation-manager")
    return named and (one["kind"].startswith(("ClusterRole", "Role", "ValidatingAdmission")))


def test_its_rights_are_enough_for_all_it_does(cluster: Cluster, rights: str) -> None:
    cluster.policy()
    manager = cluster.manager(f"--kubeconfig={rights}")
    publishing(cluster, "n1")
    cluster.pod("batch", "n1", be=(3000, GI), running=True)
    eventually(lambda: cluster.ncol("n1")["spec"]["pods"])
    cluster.rest.patch(NODES.path("n1"), {"metadata": {"labels": {"node.openfuyao.com/colocation": None}}})
    eventually(lambda: cluster.published("n1") == (3000, GI, None) and cluster.withdrawn("n1"))
    cluster.end_pod("batch")
    eventually(lambda: cluster.published("n1") == (None, None, None))
    eventually(lambda: cluster.get(POLICIES.path("p")).get("status"), 15)
    eventually(lambda: cluster.events("n1"))
    assert manager.end() == 0
    assert "Forbidden" not in manager.log.read_text()


def test_its_rights_are_no_more(cluster: Cluster, rights: str) -> None:
    cluster.node("n1")
    rest = Rest(kubeconfig(rights))
    status = NODES.path("n1", sub="status")

    def refused(method: str, path: str, body: bytes) -> bool:
        try:
            rest.send(
                method,
                path,
                body=body,
                kind="application/merge-patch+json" if method == "PATCH" else "application/json",
            )
        except ApiError as error:
            return error.code == 403
        return False

    # The guard takes a moment to be enforced after it was made.
    eventually(lambda: refused("PATCH", status, b'{"status": {"capacity": {"cpu": "999"}}}'))
    assert refused("PATCH", status, b'{"metadata": {"labels": {"a": "b"}}}')
    assert refused("PATCH", NODES.path("n1"), b'{"spec": {"unschedulable": true}}')
    assert refused("POST", PODS.path(namespace="default"), b'{"metadata": {"name": "x"}}')
    assert refused("PATCH", NODE_COLOCATIONS.path("n1", sub="status"), b'{"status": {}}')
    assert refused("PATCH", POLICIES.path("p"), b'{"spec": {"enabled": false}}')
    assert not refused("PATCH", status, b'{"status": {"capacity": {"kubernetes.io/be-cpu": "1"}}}')
