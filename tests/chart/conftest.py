"""The chart, installed by Helm on a real API server, once for the session; and a second time with the webhook."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.unit.conftest  # noqa: F401 -- it makes the collection importable, before test files are read
from colocation.kube.login import kubeconfig
from colocation.kube.resources import PODS
from colocation.kube.rest import ApiError, Rest
from tests.lab import binaries
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.errors import LabError
from tests.lab.process import run
from tests.lab.waiting import eventually

from .accounts import Account

CHART = Path(__file__).parents[2] / "charts/colocation-package"
DATA = Path(__file__).parent / "data"
NAMESPACE = "openfuyao-colocation"
SOURCES = Path(__file__).parents[2] / "reconciler/src"
OLD = bool(os.environ.get("KUBE"))
"""Another Kubernetes than the newest: one without MutatingAdmissionPolicy v1."""
OPTIONS = (
    "admission.be.schedulerName=batch",
    "admission.hls.schedulerName=exclusive",
    "admission.hls.nodeAffinity=true",
    "agent.resctrl=true",
    "rubik.enabled=true",
    "rubik.image=registry.example.org/rubik:2.0.1-r1",
)
MUTATION = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
OPERATOR = "monitoring.coreos.com/v1"
KUBERNETES = tuple(f"1.{minor}.0" for minor in range(30, 37))
EVERYTHING = (
    "manager.replicas=2",
    "console.enabled=true",
    "console.prometheus.url=http://prometheus:9090",
    "console.ingress.enabled=true",
    "console.ingress.host=colocation.example.org",
    "networkPolicy.enabled=true",
    "monitoring.monitors.enabled=true",
    "monitoring.rules.enabled=true",
    "monitoring.dashboards.enabled=true",
    "admission.hls.nodeAffinity=true",
    "rubik.enabled=true",
    "rubik.image=registry.example.org/rubik:2.0.1-r1",
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
    """All that the chart can make on a cluster of that version: admission by what it serves."""
    mutates = (MUTATION,) if kube >= "1.36" else ()
    return render(*(f"--set={one}" for one in EVERYTHING), kube=kube, apis=(OPERATOR, *mutates), which=which)


def container(name: str = "app", requests: Any = None, limits: Any = None, **more: Any) -> dict[str, Any]:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value is not None}
    return {"name": name, "image": "x", "resources": resources, **more}


def pod(*containers: dict[str, Any], qos: str | None = "BE", metadata: Any = None, **spec: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": f"pod{next(_numbers)}", **(metadata or {})}
    if qos is not None:
        meta["annotations"] = {**meta.get("annotations", {}), "openfuyao.com/qos-level": qos}
    body = {"containers": list(containers) or [container()], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}


@functools.cache
def client(config: Path) -> Rest:
    """Not kubectl: its own check of the schema would speak first, and a process for each pod takes long."""
    return Rest(kubeconfig(str(config)))


class Pods:
    """Says what the API server makes of a pod, without keeping it."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    def admit(self, body: dict[str, Any]) -> dict[str, Any]:
        """The pod as it would be stored; LabError with the API server's sentence if it is refused."""
        path, text = PODS.path(namespace=self.namespace), json.dumps(body).encode()
        try:
            answer = client(self.api.kubeconfig).send("POST", path, query={"dryRun": "All"}, body=text)
        except ApiError as error:
            raise LabError(str(error)) from error
        made: dict[str, Any] = json.loads(answer)
        return made

    def admits(self, body: dict[str, Any]) -> bool:
        try:
            self.admit(body)
        except LabError:
            return False
        return True

    def refusal(self, body: dict[str, Any]) -> str:
        with pytest.raises(LabError) as error:
            self.admit(body)
        return str(error.value)


def install(server: ApiServer, *values: str) -> None:
    """The chart, by Helm, on a cluster that has a PriorityClass for all that name none."""
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "ordinary"}}
    server.kubectl("apply", "-f", "-", stdin=json.dumps({**body, "value": 5, "globalDefault": True}))
    arguments = [f"--namespace={NAMESPACE}", "--create-namespace", *(f"--set={value}" for value in values)]
    run(
        # Conflicts: `serving` below puts the address of its process where the chart has the Service's.
        [binaries.path("helm"), "upgrade", "--install", "--force-conflicts", "colocation", CHART, *arguments],
        env={**os.environ, "KUBECONFIG": str(server.kubeconfig)},
    )


def enforced(server: ApiServer) -> None:
    """Wait until pods are changed, and wrong ones refused."""
    server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    probe = Pods(server, "default")
    eventually(lambda: "volcano.sh/preemptable" in probe.admit(pod())["metadata"]["annotations"], 30, "mutation")
    eventually(lambda: not probe.admits(pod(qos="X")), 30, "validation")


@contextlib.contextmanager
def serving(server: ApiServer, folder: Path, *more: str) -> Iterator[int]:
    """A manager that serves the webhook, with no rights but the chart's; the port that tells its health.

    There are no nodes to run it on: the Service by which the API server calls it becomes another name of this machine.
    """
    health, port = free_ports(2)
    account = f"system:serviceaccount:{NAMESPACE}:colocation-manager"
    deployment = json.loads(
        server.kubectl("get", "deployment", "colocation-manager", f"--namespace={NAMESPACE}", "-o=json")
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    argv = [sys.executable, "-m", "colocation", *container["args"], f"--kubeconfig={server.user(account)}", *more]
    argv += [f"--listen=127.0.0.1:{health}", f"--webhook=127.0.0.1:{port}", f"--namespace={NAMESPACE}"]
    spec = {
        "type": "ExternalName",
        "externalName": "localhost",
        "clusterIP": None,
        "clusterIPs": None,
        "ipFamilyPolicy": None,
        "ipFamilies": None,
        "selector": None,
    }
    where = ["patch", "service", "colocation-manager", f"--namespace={NAMESPACE}", "--type=merge", "-p"]
    server.kubectl(*where, json.dumps({"spec": spec}))
    hooks = json.loads(server.kubectl("get", "mutatingwebhookconfiguration", "colocation-pods", "-o=json"))["webhooks"]
    there = [
        {"op": "replace", "path": f"/webhooks/{n}/clientConfig/service/port", "value": port} for n in range(len(hooks))
    ]
    server.kubectl("patch", "mutatingwebhookconfiguration", "colocation-pods", "--type=json", "-p", json.dumps(there))
    with (folder / f"manager-{port}.log").open("wb") as log:
        environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
    try:
        with _telling(Path(log.name)):
            eventually(lambda: _ready(health) or process.poll() is not None, 90, "manager ready")
            assert process.poll() is None, "the manager ended"
        yield health
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def _telling(log: Path) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()[-2000:]}") from error


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(json.load(answer)["webhook"])
    except OSError:
        return False


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The chart as it installs itself on a cluster of today: admission by policies."""
    if OLD:
        pytest.skip("this Kubernetes serves no MutatingAdmissionPolicy v1")
    with ApiServer(tmp_path_factory.mktemp("chart")) as server:
        install(server, *OPTIONS)
        enforced(server)
        yield server


@pytest.fixture(scope="session")
def policed(api: ApiServer) -> ApiServer:
    """The same, by another name, for tests that try both ways."""
    return api


@pytest.fixture(scope="session")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The chart on an older cluster, or as if this were one: admission by the manager's webhook."""
    folder = tmp_path_factory.mktemp("hooked")
    with ApiServer(folder) as server:
        install(server, *OPTIONS, *([] if OLD else ["admission.mode=webhook"]))
        with serving(server, folder):
            enforced(server)
            yield server


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
    eventually(lambda: made.refusal("PATCH", own, body) == "", 30, "rights")
    eventually(lambda: "own node" in made.refusal("PATCH", other, body), 30, "guard")
    return made


@pytest.fixture(scope="module")
def manager(api: ApiServer, nodes: tuple[str, str]) -> Account:
    """The manager, by its own token."""
    made = Account(api, token(api, "colocation-manager"))
    cpu = {"status": {"capacity": {"cpu": "5"}}}
    eventually(lambda: "may change no" in made.refusal("PATCH", "/api/v1/nodes/two/status", cpu), 30, "guard")
    return made
