"""`colocation doctor` on a cluster with the chart: everything well, then broken, one thing at a time.

There is no controller and no kubelet: what they would write into Deployment, DaemonSet and Pods is written here.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colocation import __version__, cli
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.waiting import eventually

from .conftest import NAMESPACE, OLD, SOURCES, apply, install

LABELS = {"app.kubernetes.io/name": "colocation", "app.kubernetes.io/instance": "colocation"}
POLICY = {
    "apiVersion": "colocation.openfuyao.com/v1alpha1",
    "kind": "ColocationPolicy",
    "metadata": {"name": "default"},
    "spec": {
        "oversell": {
            "cpu": {"strategy": "usage"},
            "memory": {"strategy": "usage"},
            "growAfterSeconds": 0,
            "staleAfterSeconds": 3600,
        }
    },
}
BE = {"openfuyao.com/qos-level": "BE"}
AMOUNTS = {"cpu": "10", "memory": "64Gi", "pods": "110"}


class Site:
    """A cluster on which everything is well, and ways to break it."""

    def __init__(self, api: ApiServer, manager: str) -> None:
        self.api, self.manager = api, manager

    def doctor(self, capsys: pytest.CaptureFixture[str], *more: str, config: Path | None = None) -> tuple[int, Any]:
        """Exit status, and findings by check: the worst of each."""
        capsys.readouterr()
        given = [
            "doctor",
            "-o",
            "json",
            f"--kubeconfig={config or self.api.kubeconfig}",
            f"--manager={self.manager}",
            *more,
        ]
        status = cli.main(given)
        out = capsys.readouterr().out
        found: dict[str, Any] = {}
        order = ["ok", "unknown", "warning", "error"]
        for finding in json.loads(out)["findings"] if out else ():
            last = found.get(finding["check"])
            if last is None or order.index(finding["level"]) > order.index(last["level"]):
                found[finding["check"]] = finding
        return status, found

    def patch(self, kind: str, name: str, change: Any, *more: str) -> None:
        where = [f"--namespace={NAMESPACE}"] if kind in ("deployment", "daemonset", "lease", "pod") else []
        self.api.kubectl("patch", kind, name, *where, *more, "--type=merge", "-p", json.dumps(change))

    def replicas(self, ready: int, wanted: int = 1) -> None:
        self.patch("deployment", "colocation-manager", {"spec": {"replicas": wanted}})
        status = {"replicas": wanted, "readyReplicas": ready, "observedGeneration": 1}
        self.patch("deployment", "colocation-manager", {"status": status}, "--subresource=status")

    def agents(self, ready: int, wanted: int = 2) -> None:
        status = {
            "desiredNumberScheduled": wanted,
            "numberReady": ready,
            "currentNumberScheduled": wanted,
            "numberMisscheduled": 0,
        }
        self.patch("daemonset", "colocation-agent", {"status": status}, "--subresource=status")

    @contextlib.contextmanager
    def pod(
        self, name: str, component: str, version: str = __version__, node: str = "n1", **status: Any
    ) -> Iterator[None]:
        labels = {**LABELS, "app.kubernetes.io/component": component, "app.kubernetes.io/version": version}
        meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
        spec = {"nodeName": node, "containers": [{"name": component, "image": "i"}], "priorityClassName": "ordinary"}
        apply(self.api, apiVersion="v1", kind="Pod", metadata=meta, spec=spec)
        self.patch("pod", name, {"status": status}, "--subresource=status")
        try:
            yield
        finally:
            self.api.kubectl("delete", "pod", name, f"--namespace={NAMESPACE}", "--force", "--grace-period=0")

    @contextlib.contextmanager
    def without(self, kind: str, name: str, namespace: str = "") -> Iterator[None]:
        """An object gone for a while."""
        where = [f"--namespace={namespace}"] if namespace else []
        thing = json.loads(self.api.kubectl("get", kind, name, *where, "-o=json"))
        for key in ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"):
            thing["metadata"].pop(key, None)
        self.api.kubectl("delete", kind, name, *where, "--wait=false")
        try:
            yield
        finally:
            self.api.kubectl("create", "-f", "-", stdin=json.dumps(thing))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if OLD:
        pytest.skip("this Kubernetes serves no MutatingAdmissionPolicy v1")
    folder = tmp_path_factory.mktemp("doctor")
    with ApiServer(folder) as api:
        install(api)
        api.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        apply(api, **POLICY)
        for name in ("n1", "n2"):
            labels = {"node.openfuyao.com/colocation": "true"}
            apply(api, apiVersion="v1", kind="Node", metadata={"name": name, "labels": labels})
            status = {"status": {"capacity": AMOUNTS, "allocatable": AMOUNTS}}
            api.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
        (port,) = free_ports(1)
        argv = [sys.executable, "-m", "colocation", "manager", f"--kubeconfig={api.kubeconfig}"]
        argv += [f"--listen=127.0.0.1:{port}", f"--namespace={NAMESPACE}"]
        with (folder / "manager.log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(SOURCES)})
        made = Site(api, f"http://127.0.0.1:{port}")
        try:
            made.replicas(1)
            made.agents(2)
            eventually(lambda: api.kubectl("get", "ncol", "-o=name").count("/") == 2, 30, "NodeColocations")
            for name in ("n1", "n2"):
                report(api, name)
            gate = "{.items[*].status.capacity.colocation\\.openfuyao\\.com/be-pods}"
            eventually(lambda: len(api.kubectl("get", "nodes", f"-o=jsonpath={gate}").split()) == 2, 30, "open")
            yield made
        finally:
            process.terminate()
            process.wait(20)


def report(api: ApiServer, node: str) -> None:
    use = {"cpu": 1000, "memory": 2**30}
    status = {
        "observedAt": f"2026-11-21T00:00:00.{time.monotonic_ns()}Z",
        "windowSeconds": 60,
        "node": use,
        "system": use,
        "pods": [],
    }
    api.kubectl("patch", "ncol", node, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def test_where_all_is_well_nothing_is_found(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = site.doctor(capsys)
    assert {check: finding["level"] for check, finding in found.items()} == dict.fromkeys(
        (
            "kubernetes",
            "crds",
            "rights",
            "manager",
            "leader",
            "answers",
            "agents",
            "admission",
            "policies",
            "nodes",
            "pending",
        ),
        "ok",
    )
    assert status == 0
    assert "2 take part: 2 open, 0 closed" in found["nodes"]["message"]


def test_people_get_a_line_a_finding_and_a_remedy_where_one_is_needed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.agents(1)
    try:
        assert cli.main(["doctor", f"--kubeconfig={site.api.kubeconfig}", f"--manager={site.manager}"]) == 3
    finally:
        site.agents(2)
    lines = capsys.readouterr().out.splitlines()
    (number,) = [n for n, line in enumerate(lines) if line.startswith("warning  agents")]
    assert "1 of 2 agents are ready" in lines[number]
    assert lines[number + 1].lstrip().startswith("-> kubectl -n openfuyao-colocation describe pods")
    assert lines[-1] == "0 errors, 1 warnings, 0 not looked at"


def test_crds_that_are_gone(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with ApiServer(site.api.directory.parent / "bare") as bare:
        site_without = Site(bare, site.manager)
        status, found = site_without.doctor(capsys)
    assert status == 4
    assert "nodecolocations.colocation.openfuyao.com/v1alpha1" in found["crds"]["message"]
    assert "no Deployment colocation-manager" in found["manager"]["message"]
    assert "no DaemonSet colocation-agent" in found["agents"]["message"]
    assert found["admission"]["level"] == "error"
    assert found["answers"]["level"] == "warning"


def test_rights_that_are_missing_are_named_and_hide_nothing_as_well(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """What may not be read is not looked at, which is not the same as being fine."""
    status, found = site.doctor(capsys, config=site.api.user("somebody"))
    assert status == 3
    assert {"list nodes", "get services/proxy in openfuyao-colocation"} <= set(found["rights"]["objects"])
    unknown = {check for check, finding in found.items() if finding["level"] == "unknown"}
    assert {"manager", "agents", "admission", "policies", "nodes", "pending"} <= unknown


def test_a_reader_of_the_chart_sees_nodes_by_the_managers_report(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    config = site.api.user("reader")
    site.api.kubectl(
        "create", "rolebinding", "reader", "--role=colocation-explain", "--user=reader", f"--namespace={NAMESPACE}"
    )
    eventually(lambda: site.doctor(capsys, config=config)[1]["answers"]["level"] == "ok", 10, "rights")
    assert "2 take part: 2 open" in site.doctor(capsys, config=config)[1]["nodes"]["message"]


def test_a_manager_that_is_not_ready_and_why(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {"name": "manager", "ready": False, "restartCount": 9, "image": "i", "imageID": ""}
    waiting["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
    site.replicas(0)
    try:
        with site.pod("manager-1", "manager", phase="Pending", containerStatuses=[waiting]):
            status, found = site.doctor(capsys)
    finally:
        site.replicas(1)
    assert status == 4
    assert "0 of 1 replicas are ready (1 ImagePullBackOff)" in found["manager"]["message"]
    assert "describe pods" in found["manager"]["remedy"]


def test_a_manager_scaled_to_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.replicas(0, wanted=0)
    try:
        status, found = site.doctor(capsys)
    finally:
        site.replicas(1)
    assert status == 4
    assert "scale deploy/colocation-manager --replicas=1" in found["manager"]["remedy"]


def test_a_manager_that_does_not_answer(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (free,) = free_ports(1)
    status, found = site.doctor(capsys, f"--manager=http://127.0.0.1:{free}")
    assert status == 3
    assert found["answers"]["level"] == "warning"
    assert found["nodes"]["level"] == "ok"  # by the Nodes themselves


def test_a_manager_of_another_release(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    change = {"metadata": {"labels": {"app.kubernetes.io/version": "7.3.0"}}}
    site.patch("deployment", "colocation-manager", change)
    try:
        with site.pod("agent-old", "agent", version="7.1.9"):
            status, found = site.doctor(capsys)
    finally:
        site.patch(
            "deployment", "colocation-manager", {"metadata": {"labels": {"app.kubernetes.io/version": __version__}}}
        )
    assert status == 4
    assert "1 agents have version 7.1.9, the manager 7.3.0: n1" in found["versions"]["message"]


def test_no_leader(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """In a namespace of its own, whose Lease nobody renews."""
    lease = {"holderIdentity": "gone", "renewTime": "2026-01-01T00:00:00.000000Z", "leaseDurationSeconds": 15}
    site.api.kubectl("create", "namespace", "stale")
    where = {"name": "colocation-manager", "namespace": "stale"}
    apply(site.api, apiVersion="coordination.k8s.io/v1", kind="Lease", metadata=where, spec=lease)
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": pod}
    meta = {**where, "labels": {"app.kubernetes.io/version": __version__}}
    apply(site.api, apiVersion="apps/v1", kind="Deployment", metadata=meta, spec=spec)
    ready = {"status": {"replicas": 1, "readyReplicas": 1}}
    patch = ["patch", "deployment", "colocation-manager", "--namespace=stale", "--subresource=status", "--type=merge"]
    site.api.kubectl(*patch, "-p", json.dumps(ready))
    status, found = site.doctor(capsys, "--namespace=stale")
    assert status == 4
    assert "no manager has renewed for" in found["leader"]["message"]


def test_agents_that_are_not_ready_are_named_by_their_nodes(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    ready = [{"type": "Ready", "status": "True"}]
    broken = {"name": "agent", "ready": False, "restartCount": 3, "image": "i", "imageID": ""}
    broken["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    site.agents(1)
    try:
        with (
            site.pod("agent-1", "agent", node="n1", phase="Running", conditions=ready),
            site.pod("agent-2", "agent", node="n2", phase="Running", containerStatuses=[broken]),
        ):
            status, found = site.doctor(capsys)
    finally:
        site.agents(2)
    assert status == 3
    assert found["agents"]["message"] == "1 of 2 agents are ready (1 CrashLoopBackOff): n2"
    assert found["agents"]["objects"] == ["n2"]


def test_no_agent_wanted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.agents(0, wanted=0)
    try:
        assert "no agent is wanted" in site.doctor(capsys)[1]["agents"]["message"]
    finally:
        site.agents(2)


def test_admission_without_its_binding_or_without_its_policy(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with site.without("mutatingadmissionpolicybinding", "colocation-pods"):
        status, found = site.doctor(capsys)
        assert (status, found["admission"]["level"]) == (4, "error")
        assert "has no binding" in found["admission"]["message"]
    with site.without("mutatingadmissionpolicy", "colocation-pods"):
        status, found = site.doctor(capsys)
        assert (status, found["admission"]["level"]) == (4, "error")
        assert "pods with our annotation are not changed" in found["admission"]["message"]


def test_a_webhook_that_cannot_be_called(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    hook: dict[str, Any] = {
        "name": "pods.colocation.openfuyao.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"service": {"name": "colocation-manager", "namespace": NAMESPACE}}, "failurePolicy": "Ignore",
        "namespaceSelector": {"matchLabels": {"never": "ever"}},
    }  # fmt: skip
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    with site.without("mutatingadmissionpolicy", "colocation-pods"):
        try:
            apply(site.api, **body, metadata={"name": "colocation-pods"}, webhooks=[hook])
            assert "caBundle is empty" in site.doctor(capsys)[1]["admission"]["message"]
            hook["clientConfig"]["caBundle"] = authority(site.api)
            apply(site.api, **body, metadata={"name": "colocation-pods"}, webhooks=[hook])
            assert site.doctor(capsys)[1]["admission"]["message"] == "by the manager's webhook"
        finally:
            site.api.kubectl("delete", "mutatingwebhookconfiguration", "colocation-pods")


def authority(api: ApiServer) -> str:
    return str(json.loads(api.kubeconfig.read_text())["clusters"][0]["cluster"]["certificate-authority-data"])


def test_no_policy(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.api.kubectl("delete", "cpol", "default")
    try:
        eventually(lambda: "NoPolicy" in site.doctor(capsys)[1]["nodes"]["message"], 20, "withdrawn")
        status, found = site.doctor(capsys)
        assert status == 4
        assert "there is no ColocationPolicy" in found["policies"]["message"]
        assert found["nodes"]["objects"] == ["n1", "n2"]
        assert "nodeSelector" in found["nodes"]["remedy"]
    finally:
        apply(site.api, **POLICY)
    for name in ("n1", "n2"):
        report(site.api, name)
    eventually(lambda: site.doctor(capsys)[0] == 0, 30, "well again")


def test_a_roll_out_of_a_policy_that_was_stopped(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """By a policy that no node has, whose status the manager leaves alone until it changes."""
    other = {**POLICY, "metadata": {"name": "other"}, "spec": {"nodeSelector": {"matchLabels": {"x": "y"}}}}
    apply(site.api, **other)
    try:
        stopped = {"type": "RolledOut", "status": "False", "reason": "Stopped", "message": "n1: starved"}
        stopped["lastTransitionTime"] = "2026-01-01T00:00:00Z"
        where = ["patch", "cpol", "other", "--subresource=status", "--type=merge", "-p"]

        def seen() -> bool:
            site.api.kubectl(*where, json.dumps({"status": {"conditions": [stopped]}}))
            return bool(site.doctor(capsys)[1]["policies"]["level"] == "warning")

        eventually(seen, 10, "stopped")
    finally:
        site.api.kubectl("delete", "cpol", "other")


def test_nodes_whose_agent_has_never_reported(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    apply(
        site.api,
        apiVersion="v1",
        kind="Node",
        metadata={"name": "n3", "labels": {"node.openfuyao.com/colocation": "true"}},
    )
    site.patch("node", "n3", {"status": {"capacity": AMOUNTS, "allocatable": AMOUNTS}}, "--subresource=status")
    try:
        eventually(lambda: site.doctor(capsys)[1]["nodes"]["level"] == "warning", 20, "n3")
        found = site.doctor(capsys)[1]["nodes"]
        assert found["message"] == "1 withdrawn, NoReport: n3"
        assert "the agent's pod on that node" in found["remedy"]
    finally:
        site.api.kubectl("delete", "node", "n3")
        eventually(lambda: site.doctor(capsys)[0] == 0, 20, "well again")


def test_best_effort_pods_that_wait(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five minutes have passed by the doctor's clock, not by the test's."""
    meta = {"name": "batch", "namespace": "default", "annotations": BE}
    amounts = {"cpu": "1", "memory": "1Gi"}
    spec = {"containers": [{"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}}]}
    apply(site.api, apiVersion="v1", kind="Pod", metadata=meta, spec=spec)
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes: Insufficient be-cpu"}
    where = ["patch", "pod", "batch", "--namespace=default", "--subresource=status", "--type=merge", "-p"]
    site.api.kubectl(*where, json.dumps({"status": {"conditions": [unscheduled]}}))
    try:
        assert site.doctor(capsys)[1]["pending"]["message"].startswith("1 best-effort pods wait, none for longer")
        monkeypatch.setattr("colocation.cli.doctor.work.PENDING_SECONDS", -1.0)
        found = site.doctor(capsys)[1]["pending"]
        assert found["level"] == "warning"
        assert "default/batch: 1 x 0/2 nodes: Insufficient be-cpu" in found["message"]
    finally:
        site.api.kubectl("delete", "pod", "batch", "--namespace=default", "--force", "--grace-period=0")


def test_an_api_server_that_does_not_answer_is_exit_status_1(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = json.loads(site.api.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "config").write_text(json.dumps(config))
    assert site.doctor(capsys, config=tmp_path / "config") == (1, {})
