"""What component tests say to the API server: Nodes, Pods and reports made by hand, managers as processes."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from colocation.kube.resources import ACCOUNTS, EVENTS, LEASES, NODE_COLOCATIONS, NODES, PODS, POLICIES, Resource
from colocation.kube.rest import Rest
from colocation.model import names
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.waiting import eventually

GI = 2**30
SOURCES = Path(__file__).parents[2] / "src"
CRDS = Path(__file__).parents[3] / "charts/colocation-package/templates/crds"
NAMESPACE = "openfuyao-colocation"


def crds(*, anything: bool = False) -> str:
    """The chart's CRDs; with ``anything`` a NodeColocation takes what a future version, or a fault, might write."""
    items = []
    for path in sorted(CRDS.glob("*.yaml")):
        lines = [line for line in path.read_text().splitlines() if "{{" not in line]
        crd = yaml.safe_load("\n".join(lines))
        if anything and crd["spec"]["names"]["kind"] == "NodeColocation":
            free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].update(spec=free, status=free)
        items.append(crd)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def forget(api: ApiServer, key: str) -> None:
    """Delete an object behind the API server's back, and all history with it: no watch can go on from before."""
    encoded = base64.b64encode(key.encode()).decode()
    assert api.etcd("deleterange", {"key": encoded})["deleted"] == "1"
    compact(api)


def compact(api: ApiServer) -> None:
    """Have etcd forget all history up to now."""
    header = api.etcd("range", {"key": base64.b64encode(b"none").decode()})["header"]
    api.etcd("compaction", {"revision": header["revision"], "physical": True})


class Manager:
    """``colocation manager`` as a process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, mint: Callable[[], str]) -> None:
        """``mint``: makes a reader's token."""
        self.process, self.port, self.log = process, port, log
        self._mint, self._token = mint, ""

    def http(self, path: str) -> str:
        """What it answers, to a reader if it asks for one."""
        if path.startswith("/v1/") and not self._token:
            self._token = self._mint()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={names.TOKEN_HEADER: self._token})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return str(answer.read().decode())

    def json(self, path: str) -> Any:
        return json.loads(self.http(path))

    def has_seen(self, resource: Resource, changed: bytes | dict[str, Any]) -> None:
        """Wait until the manager has decided on this version of an object: the answer to a create or patch."""
        thing = json.loads(changed) if isinstance(changed, bytes) else changed
        wanted = int(thing["metadata"]["resourceVersion"])
        name = f'colocation_decided_resource_version{{resource="{resource.plural}"}} '

        def newest() -> float:
            lines = self.http("/metrics").splitlines()
            return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

        eventually(lambda: newest() >= wanted, 20, f"the manager has seen {resource.plural} {wanted}")

    def end(self, sign: int = signal.SIGTERM, seconds: float = 10) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(sign)
        return self.process.wait(seconds)


class Cluster:
    """One test's share of the API server."""

    def __init__(self, api: ApiServer, rest: Rest, folder: Path, number: int) -> None:
        self.api, self.rest, self.folder, self.number = api, rest, folder, number
        self.managers: list[Manager] = []

    def close(self) -> None:
        for manager in self.managers:
            manager.end(signal.SIGKILL)
        if not self.api.alive:
            self.api.start()
        for resource in (POLICIES, NODE_COLOCATIONS, NODES):
            self.rest.delete(resource.path())
        for namespace in ("default",):
            body = b'{"gracePeriodSeconds": 0}'
            self.rest.send("DELETE", PODS.path(namespace=namespace), body=body)
        self.rest.delete(LEASES.path(namespace=NAMESPACE))
        self.rest.delete(EVENTS.path(namespace="default"))

    def node(self, name: str, cpu: str = "10", memory: str = "100Gi", *, label: bool = True, **status: Any) -> None:
        labels = {"node.openfuyao.com/colocation": "true"} if label else {}
        self.rest.create(
            NODES.path(), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        )
        amounts = {"cpu": cpu, "memory": memory, "pods": "110", **status}
        self.rest.patch(NODES.path(name, sub="status"), {"status": {"capacity": amounts, "allocatable": amounts}})

    def policy(self, name: str = "p", **spec: Any) -> None:
        spec.setdefault(
            "oversell", {"cpu": {"strategy": "usage"}, "memory": {"strategy": "usage"}, "growAfterSeconds": 0}
        )
        body = {
            "apiVersion": "colocation.openfuyao.com/v1alpha1",
            "kind": "ColocationPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.rest.create(POLICIES.path(), body)

    def ncol(self, node: str) -> Any:
        return self.get(NODE_COLOCATIONS.path(node))

    def report(self, node: str, cpu: int = 1000, memory: int = 5 * GI, pods: tuple[Any, ...] = (), **more: Any) -> None:
        """A report as the agent writes it, fresh."""
        status = {
            "observedAt": f"2026-11-21T00:00:00.{time.monotonic_ns()}Z",
            "windowSeconds": 60,
            "node": {"cpu": cpu, "memory": memory},
            "system": {"cpu": cpu, "memory": memory},
            "pods": list(pods),
            **more,
        }
        self.rest.patch(NODE_COLOCATIONS.path(node, sub="status"), {"status": status})

    def pod(
        self, name: str, node: str, *, be: tuple[int, int] | None = None, running: bool = False, **requests: str
    ) -> Any:
        annotations, wanted = {}, dict(requests)
        if be is not None:
            annotations["openfuyao.com/qos-level"] = "BE"
            wanted |= {"kubernetes.io/be-cpu": str(be[0]), "kubernetes.io/be-memory": str(be[1])}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": "i", "resources": {"requests": wanted, "limits": wanted}}],
            },
        }
        made = json.loads(self.rest.create(PODS.path(namespace="default"), body))
        if running:
            self.rest.patch(PODS.path(name, namespace="default", sub="status"), {"status": {"phase": "Running"}})
        return made

    def end_pod(self, name: str) -> None:
        self.rest.send("DELETE", PODS.path(name, namespace="default"), body=b'{"gracePeriodSeconds": 0}')

    def get(self, path: str) -> Any:
        return self.rest.get(path, dict)

    def published(self, node: str) -> tuple[int | None, int | None, int | None]:
        """be-cpu, be-memory and gate as the Node carries them; capacity and allocatable must agree."""
        status = self.get(NODES.path(node))["status"]
        keys = ("kubernetes.io/be-cpu", "kubernetes.io/be-memory", "colocation.openfuyao.com/be-pods")
        parts = ("capacity", "allocatable")
        given = [tuple(_whole(status.get(part, {}).get(key)) for key in keys) for part in parts]
        assert given[0] == given[1], given
        return given[0]  # type: ignore[return-value]

    def withdrawn(self, node: str) -> str | None:
        given = self.get(NODES.path(node))["metadata"].get("annotations", {})
        found: str | None = given.get("colocation.openfuyao.com/withdrawn")
        return found

    def events(self, about: str) -> list[dict[str, Any]]:
        """The manager's Events about a Node or a policy, oldest first."""
        items = self.get(EVENTS.path(namespace="default"))["items"]
        ours = [e for e in items if e["regarding"]["name"] == about and e["reportingController"].startswith("coloc")]
        return sorted(ours, key=lambda event: str(event["eventTime"]))

    def version(self, node: str) -> str:
        return str(self.get(NODES.path(node))["metadata"]["resourceVersion"])

    def manager(self, *more: str, ready: bool = True, env: Mapping[str, str] | None = None) -> Manager:
        (port,) = free_ports(1)
        log = self.folder / f"manager{len(self.managers)}.log"
        argv = [sys.executable, "-m", "colocation", "manager", f"--kubeconfig={self.api.kubeconfig}"]
        argv += [f"--listen=127.0.0.1:{port}", f"--namespace={NAMESPACE}", "--log-level=debug", *more]
        around = {**os.environ, "PYTHONPATH": str(SOURCES), **(env or {})}
        with log.open("wb") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out, env=around)
        made = Manager(process, port, log, self.token)
        self.managers.append(made)
        if ready:
            eventually(lambda: made.http("/readyz"), 20, "manager not ready")
        return made

    def token(self, account: str = names.READER, audience: str = names.AUDIENCE, seconds: int = 600) -> str:
        """A token of a ServiceAccount, as the API server mints it."""
        spec = {"audiences": [audience], "expirationSeconds": seconds}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made = self.rest.create(ACCOUNTS.path(account, namespace=NAMESPACE, sub="token"), body)
        return str(json.loads(made)["status"]["token"])

    def leader(self) -> Manager:
        def lead() -> Manager | None:
            return next((m for m in self.managers if m.process.poll() is None and m.json("/readyz")["leader"]), None)

        found = eventually(lead, 30)
        assert found is not None
        return found


def _whole(text: str | None) -> int | None:
    """Kubernetes writes 64Gi where we wrote bytes."""
    from colocation.model.quantity import parse  # noqa: PLC0415

    return None if text is None else parse(text)
