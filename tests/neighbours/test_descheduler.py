"""A real descheduler and best-effort pods on a real API server: no kubelet runs, so Nodes and what runs are by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from colocation.neighbours import descheduler
from tests.chart.conftest import apply, container, pod
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.config import CLONE
from tests.lab.process import run

QOS = "openfuyao.com/qos-level"
OUT = {"matchExpressions": [{"key": QOS, "operator": "NotIn", "values": ["BE"]}]}
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
GATE = "colocation.openfuyao.com/be-pods"
LABELS = {"node.openfuyao.com/colocation": "true"}


def usual(**evictor: Any) -> dict[str, Any]:
    """The profile that people have: balance nodes by the cpu that pods request."""
    thresholds = {"thresholds": {"cpu": 4}, "targetThresholds": {"cpu": 5}}
    rows = [
        {"name": "DefaultEvictor", "args": {"nodeFit": True, **evictor}},
        {"name": "LowNodeUtilization", "args": thresholds},
    ]
    profile = {"name": "default", "pluginConfig": rows, "plugins": {"balance": {"enabled": ["LowNodeUtilization"]}}}
    return {"apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy", "profiles": [profile]}


def cycle(api: ApiServer, folder: Path, policy: dict[str, Any]) -> str:
    """One cycle of the real program; what it logged."""
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(policy))
    binaries.ensure("descheduler")
    line = ["--secure-port=0", f"--policy-config-file={file}", "--descheduling-interval=0", "--v=4"]
    return run([binaries.path("descheduler"), f"--kubeconfig={api.kubeconfig}", *line], timeout=120).stderr


def warned(policy: dict[str, Any]) -> list[str]:
    """What preflight says of it."""
    configmap = {"metadata": {"name": "d"}, "data": {"policy.yaml": yaml.safe_dump(policy)}}
    return descheduler.warnings([configmap], yaml.safe_load)


@pytest.fixture
def cluster(api: ApiServer) -> Iterator[ApiServer]:
    """Node d1 with two online pods (270m of 2,000m) and five best-effort pods; node d2 with room for them all."""
    amounts = {"cpu": "2", "memory": "8Gi", "pods": "110", "kubernetes.io/be-cpu": "1500", GATE: "250"}
    amounts |= {"kubernetes.io/be-memory": str(4 * 2**30)}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "by hand"}
    status = {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}
    for name in ("d1", "d2"):
        apply(api, apiVersion="v1", kind="Node", metadata={"name": name, "labels": LABELS})
        api.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        api.kubectl("patch", "node", name, "--type=merge", "-p", json.dumps({"spec": {"taints": None}}))
    one = {"cpu": "100m", "memory": "64Mi"}
    for at in range(5):
        start(api, pod(container("c", one, one), metadata={"name": f"be{at}", "ownerReferences": [OWNER]}))
    for at in range(2):  # without a controller: these the descheduler leaves alone by itself
        asked = {"cpu": "135m", "memory": "64Mi"}
        start(api, pod(container("c", asked, asked), qos="LS", metadata={"name": f"online{at}"}))
    yield api
    api.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    api.kubectl("delete", "nodes", "d1", "d2")


def start(api: ApiServer, body: dict[str, Any]) -> None:
    body["spec"] |= {"nodeName": "d1", "terminationGracePeriodSeconds": 0}
    apply(api, **body)
    running = {"status": {"phase": "Running"}}
    api.kubectl(
        "patch", "pod", body["metadata"]["name"], "--subresource=status", "--type=merge", "-p", json.dumps(running)
    )


def uids(api: ApiServer, prefix: str) -> dict[str, str]:
    items = json.loads(api.kubectl("get", "pods", "-o", "json"))["items"]
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in items if p["metadata"]["name"].startswith(prefix)}


def test_a_usual_profile_evicts_all_best_effort_pods_and_none_with_the_label_rule(
    cluster: ApiServer, tmp_path: Path
) -> None:
    be, online = uids(cluster, "be"), uids(cluster, "online")
    assert (len(be), len(online)) == (5, 2)
    left_out = usual(labelSelector=OUT)
    log = cycle(cluster, tmp_path, left_out)
    assert "d1" in log
    assert uids(cluster, "be") == be, "0 of 5"
    log = cycle(cluster, tmp_path, usual())
    assert uids(cluster, "be") == {}, f"5 of 5\n{log[-3000:]}"
    assert uids(cluster, "online") == online
    assert (len(warned(usual())), warned(left_out)) == (1, []), "preflight tells the two apart"


def test_with_node_fit_it_knows_the_gate(cluster: ApiServer, tmp_path: Path) -> None:
    closed = json.dumps({"status": {"capacity": {GATE: None}, "allocatable": {GATE: None}}})
    cluster.kubectl("patch", "node", "d2", "--subresource=status", "--type=merge", "-p", closed)
    be = uids(cluster, "be")
    log = cycle(cluster, tmp_path, usual())
    assert uids(cluster, "be") == be
    assert f"insufficient {GATE}" in log, "\n".join(line[40:240] for line in log.splitlines()[-40:])


FILES = sorted((CLONE / "files/descheduler").glob("*.yaml"))


def test_each_policy_that_is_shipped_is_taken_and_harms_no_best_effort_pod(cluster: ApiServer, tmp_path: Path) -> None:
    be = uids(cluster, "be")
    assert len(FILES) >= 12
    for file in FILES:
        policy = yaml.safe_load(file.read_text())
        assert warned(policy) == [], file.name
        log = cycle(cluster, tmp_path, policy)
        # balance asks Prometheus with its ServiceAccount's token, which only a pod has: it is decoded, and fails there.
        assert ("prometheus client not initialized" in log) == (file.stem == "balance"), log[-2000:]
        assert uids(cluster, "be") == be, file.name


def test_a_field_that_it_does_not_know_is_refused(api: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"unknown field .*nodeFitt"):
        cycle(api, tmp_path, usual(nodeFitt=True))
    with pytest.raises(Exception, match="v1alpha1"):
        cycle(api, tmp_path, {"apiVersion": "descheduler/v1alpha1", "kind": "DeschedulerPolicy", "strategies": {}})
