"""A cluster with colocation installed by Helm, for plays that change or remove it.

The API server and Helm are real. Nobody runs Deployments and DaemonSets beside it, so `Controllers`, a stand-in, writes
the statuses that kube-controller-manager, kubelets and agents would.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.process import run

NAMESPACE = "openfuyao-colocation"
LABEL = "node.openfuyao.com/colocation"
NS = ("-n", NAMESPACE)


def node(api: ApiServer, name: str, *, takes_part: bool = True) -> None:
    """A ready Node."""
    labels = {LABEL: "true"} if takes_part else {}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    api.kubectl("create", "-f", "-", stdin=json.dumps(body))
    ready(api, name)


def ready(api: ApiServer, name: str, status: str = "True") -> None:
    """As its kubelet, or the node controller, would write it."""
    condition = {"type": "Ready", "status": status, "reason": "Test", "lastHeartbeatTime": "2026-11-21T10:00:00Z"}
    patch = json.dumps({"status": {"conditions": [condition], "capacity": {"cpu": "8", "memory": "16Gi"}}})
    api.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", patch)


def install(api: ApiServer, chart: Path, values: dict[str, Any], nodes: tuple[str, ...]) -> None:
    """The chart, and the record of what was there before."""
    file = api.directory / "values.yaml"
    file.write_text(json.dumps(values))
    helm(api, "upgrade", "--install", "colocation", chart, "--create-namespace", "-f", file)
    # Nobody runs the controller that ends a namespace, so it was there before.
    before = {"namespaceMade": False, "labelsBefore": dict.fromkeys(nodes)}
    record(api, "before", before)


def record(api: ApiServer, key: str, content: dict[str, Any]) -> None:
    """One key of the ConfigMap colocation-rollout."""
    with contextlib.suppress(LabError):
        api.kubectl("create", "configmap", *NS, "colocation-rollout")
    patch = json.dumps({"data": {key: json.dumps(content)}})
    api.kubectl("patch", "configmap", *NS, "colocation-rollout", "--type=merge", "-p", patch)


def helm(api: ApiServer, *args: str | Path) -> str:
    """Helm, in the namespace of the release."""
    return run([binaries.path("helm"), *args, *NS, "--kubeconfig", api.kubeconfig]).stdout


def values(api: ApiServer) -> dict[str, Any]:
    """What `helm get values` says."""
    found: dict[str, Any] = json.loads(helm(api, "get", "values", "colocation", "-o", "json"))
    return found


def objects(api: ApiServer) -> set[str]:
    """Kind and name of all that the release made."""
    text = helm(api, "get", "manifest", "colocation")
    kinds = [line.split()[1] for line in text.splitlines() if line.startswith("kind: ")]
    names = [line.split()[1] for line in text.splitlines() if line.startswith("  name: ")]
    return {f"{kind}/{name}" for kind, name in zip(kinds, names, strict=False)}


class Controllers:
    """Writes statuses each second, in a thread, while a play runs. ``silent``: Nodes whose agent never reports."""

    def __init__(self, api: ApiServer, silent: tuple[str, ...] = ()) -> None:
        self.api, self.silent = api, silent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1):
            with contextlib.suppress(LabError):
                self._deployments()
                self._agents()

    def _deployments(self) -> None:
        for one in self._items("deployments", *NS):
            n = one["spec"].get("replicas", 1)
            self._status("deployment", one, replicas=n, updatedReplicas=n, availableReplicas=n, readyReplicas=n)

    def _agents(self) -> None:
        """What each Node that takes part publishes, and the report that it rests on."""
        crds = [o["metadata"]["name"] for o in self._items("crd")]
        if "nodecolocations.colocation.openfuyao.com" not in crds:
            return
        known = {o["metadata"]["name"]: o for o in self._items("ncol")}
        for one in self._items("nodes"):
            name = one["metadata"]["name"]
            keys = {"kubernetes.io/be-cpu": "1000", "kubernetes.io/be-memory": "1Gi"}
            if one["metadata"].get("labels", {}).get(LABEL) != "true":
                if set(keys) & set(one["status"].get("capacity", {})):
                    self._patch("node", name, dict.fromkeys(("capacity", "allocatable"), dict.fromkeys(keys)))
                continue
            if name in self.silent:
                continue
            if name not in known:
                body = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "NodeColocation"}
                body |= {"metadata": {"name": name}, "spec": {}}  # type: ignore[dict-item]
                self.api.kubectl("create", "-f", "-", stdin=json.dumps(body))
            if not known.get(name, {}).get("status"):
                now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                self._patch("ncol", name, {"observedAt": now})
            if not set(keys) <= set(one["status"].get("allocatable", {})):
                self._patch("node", name, {"capacity": keys, "allocatable": keys})

    def _items(self, *what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.api.kubectl("get", *what, "-o", "json"))["items"]
        return found

    def _status(self, kind: str, one: dict[str, Any], **status: int) -> None:
        metadata = one["metadata"]
        wanted = {"observedGeneration": metadata["generation"], **status}
        if any((one.get("status") or {}).get(key) != value for key, value in wanted.items()):
            self._patch(kind, metadata["name"], wanted, *NS)

    def _patch(self, kind: str, name: str, status: dict[str, Any], *where: str) -> None:
        patch = json.dumps({"status": status})
        self.api.kubectl("patch", kind, name, *where, "--subresource=status", "--type=merge", "-p", patch)


def wait_for(look: Any, seconds: float, what: str) -> Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def inventory(place: Path, rows: dict[str, dict[str, Any]], **variables: Any) -> Path:
    """An inventory file of these hosts, each this machine unless its row says otherwise."""
    hosts = {name: {"ansible_connection": "local", **row} for name, row in rows.items()}
    path = place / f"inventory-{abs(hash(json.dumps([hosts, variables])))}.json"
    path.write_text(json.dumps({"colocation_nodes": {"hosts": hosts, "vars": variables}}))
    return path


@contextlib.contextmanager
def running(folder: Path, nodes: tuple[str, ...], *, take_part: bool = True) -> Iterator[ApiServer]:
    """An API server with these Nodes."""
    with ApiServer(folder) as api:
        for name in nodes:
            node(api, name, takes_part=take_part)
        yield api
