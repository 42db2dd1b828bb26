"""The chart, installed by Helm on a real API server, once for the session."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.process import run

from .accounts import Account

CHART = Path(__file__).parents[2] / "charts/colocation-package"
DATA = Path(__file__).parent / "data"
NAMESPACE = "openfuyao-colocation"
MUTATION = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
OPERATOR = "monitoring.coreos.com/v1"
KUBERNETES = tuple(f"1.{minor}.0" for minor in range(30, 37))
EVERYTHING = (
    "manager.replicas=2",
    "networkPolicy.enabled=true",
    "monitoring.monitors.enabled=true",
    "monitoring.rules.enabled=true",
    "monitoring.dashboards.enabled=true",
)
"""Every switch that makes objects."""
_numbers = itertools.count(1)


def helm(*args: str | Path, which: str = "helm", kubeconfig: Path | None = None) -> str:
    """Run Helm (``which``: helm is 4, or helm3); its output, or LabError with what it said."""
    binaries.ensure(which)
    env = {**os.environ, "KUBECONFIG": str(kubeconfig or os.devnull)}
    return run([binaries.path(which), *args], env=env).stdout


def render(*args: str, kube: str = "1.36.3", apis: tuple[str, ...] = (MUTATION,), which: str = "helm") -> str:
    """The chart's manifests for a cluster of that version."""
    served = [f"--api-versions={api}" for api in apis]
    where = [f"--namespace={NAMESPACE}", f"--kube-version={kube}"]
    return helm("template", "colocation", CHART, *where, *served, *args, which=which)


def render_everything(kube: str, which: str = "helm") -> str:
    """All that the chart can make on a cluster of that version; where it serves no mutation, without."""
    mutates = kube >= "1.36"
    switches = [f"--set={one}" for one in (*EVERYTHING, *(() if mutates else ("admission.mode=none",)))]
    return render(*switches, kube=kube, apis=(OPERATOR, *((MUTATION,) if mutates else ())), which=which)


def eventually(check: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Policies and RBAC reach the API server's caches a moment after they were made."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def container(name: str = "app", requests: Any = None, limits: Any = None, **more: Any) -> dict[str, Any]:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value is not None}
    return {"name": name, "image": "x", "resources": resources, **more}


def pod(*containers: dict[str, Any], qos: str | None = "BE", metadata: Any = None, **spec: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": f"pod{next(_numbers)}", **(metadata or {})}
    if qos is not None:
        meta["annotations"] = {**meta.get("annotations", {}), "openfuyao.com/qos-level": qos}
    body = {"containers": list(containers) or [container()], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}


class Pods:
    """Says what the API server makes of a pod, without keeping it."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    def admit(self, body: dict[str, Any]) -> dict[str, Any]:
        """The pod as it would be stored; LabError with the API server's sentence if it is refused."""
        # Raw, as a controller would: kubectl's own schema check would speak first.
        path = f"/api/v1/namespaces/{self.namespace}/pods?dryRun=All"
        answer = self.api.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
        made: dict[str, Any] = json.loads(answer)
        return made

    def refusal(self, body: dict[str, Any]) -> str:
        with pytest.raises(LabError) as error:
            self.admit(body)
        return str(error.value)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("chart")) as server:
        arguments = [f"--namespace={NAMESPACE}", "--create-namespace"]
        helm("install", "colocation", CHART, *arguments, kubeconfig=server.kubeconfig)
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        probe = Pods(server, "default")
        eventually(lambda: "volcano.sh/preemptable" in probe.admit(pod())["metadata"]["annotations"], "mutation")
        eventually(lambda: not _admitted(probe, pod(qos="X")), "validation")
        yield server


@pytest.fixture(scope="session")
def pods(api: ApiServer) -> Pods:
    return Pods(api, "default")


def _admitted(pods: Pods, body: dict[str, Any]) -> bool:
    try:
        pods.admit(body)
    except LabError:
        return False
    return True


def apply(api: ApiServer, **body: Any) -> None:
    api.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def token(api: ApiServer, account: str, *bound: str) -> str:
    """A fresh token of that ServiceAccount."""
    return api.kubectl("create", "token", account, f"--namespace={NAMESPACE}", *bound).strip()


@pytest.fixture(scope="module")
def nodes(api: ApiServer) -> Iterator[tuple[str, str]]:
    """Two Nodes, each with its NodeColocation and its agent's pod."""
    names = ("one", "two")
    status = {"capacity": {"cpu": "4", "memory": "8Gi"}, "allocatable": {"cpu": "4", "memory": "8Gi"}}
    for name in names:
        apply(api, apiVersion="v1", kind="Node", metadata={"name": name, "annotations": {"a": "b"}})
        api.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        apply(api, apiVersion="colocation.openfuyao.com/v1alpha1", kind="NodeColocation", metadata={"name": name})
        spec = {"nodeName": name, "serviceAccountName": "colocation-agent", "containers": [{"name": "a", "image": "x"}]}
        meta = {"name": f"agent-{name}", "namespace": NAMESPACE}
        apply(api, apiVersion="v1", kind="Pod", metadata=meta, spec=spec)
    yield names
    for name in names:
        api.kubectl("delete", "pod", f"agent-{name}", f"--namespace={NAMESPACE}", "--force", "--grace-period=0")
        api.kubectl("delete", "ncol,node", name)


@pytest.fixture(scope="module")
def agent(api: ApiServer, nodes: tuple[str, str]) -> Account:
    """The agent of node `one`, by a token bound to its pod: it carries the node's name."""
    made = Account(api, token(api, "colocation-agent", "--bound-object-kind=Pod", "--bound-object-name=agent-one"))
    own, other = (f"/apis/colocation.openfuyao.com/v1alpha1/nodecolocations/{name}/status" for name in nodes)
    body = {"status": {"windowSeconds": 1}}
    eventually(lambda: made.refusal("PATCH", own, body) == "", "rights")
    eventually(lambda: "own node" in made.refusal("PATCH", other, body), "guard")
    return made


@pytest.fixture(scope="module")
def manager(api: ApiServer, nodes: tuple[str, str]) -> Account:
    """The manager, by its own token."""
    made = Account(api, token(api, "colocation-manager"))
    cpu = {"status": {"capacity": {"cpu": "5"}}}
    eventually(lambda: "may change no" in made.refusal("PATCH", "/api/v1/nodes/two/status", cpu), "guard")
    return made
