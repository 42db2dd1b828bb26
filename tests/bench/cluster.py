# SPDX-License-Identifier: Apache-2.0
"""A real API server full of made objects, a bare client as the floor, agents that report, and a manager to time."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import yaml

from colocation.kube.cache import Reflector, Synced, Upsert
from colocation.kube.login import kubeconfig
from colocation.kube.resources import LEASES, NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.kube.rest import ApiError, Rest
from colocation.manager.publisher import WRITERS
from colocation.model import names
from colocation.model.facts import NodeFacts, node_facts
from colocation.model.wire import Node, NodeColocation
from tests.bench import made
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.progress import say

CRDS = Path(__file__).parents[2] / "charts/colocation-package/templates/crds"
KEYS = (names.BE_CPU, names.BE_MEMORY, names.GATE)


class Cluster:
    """The API server with its nodes and pods, and what is seen of both from outside."""

    def __init__(self, folder: Path, nodes: int, pods_each: int) -> None:
        self.folder, self.nodes, self.pods_each = folder, [made.node_name(n) for n in range(nodes)], pods_each
        self.api = ApiServer(folder, ["--max-requests-inflight=400"])
        self.uids: dict[str, list[str]] = {}
        self.seen: dict[str, NodeFacts] = {}
        self.changed: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Start it and fill it."""
        self.api.__enter__()
        try:
            self.rest = Rest(kubeconfig(str(self.api.kubeconfig)), connections=2 * WRITERS + 4)
            self._fill()
        except BaseException:
            self.api.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.rest.close()
        self.api.__exit__(kind, error, trace)

    def _fill(self) -> None:
        crds = [
            yaml.safe_load("\n".join(line for line in path.read_text().splitlines() if "{{" not in line))
            for path in sorted(CRDS.glob("*.yaml"))
        ]
        self.api.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": crds}))
        self.api.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        self.api.kubectl("create", "namespace", names.NAMESPACE)
        self.rest.create(POLICIES.path(), made.POLICY)
        self._account()
        self.api.kill()
        self.api.put(self._objects())
        self.api.start(ready_seconds=300)

    def _account(self) -> None:
        """What kubelet mounts into a pod: the manager is to have all rights here, its own are tested elsewhere."""
        account = f"{names.NAMESPACE}:bench"
        self.api.kubectl("create", "serviceaccount", "bench", "-n", names.NAMESPACE)
        binding = ["clusterrolebinding", "bench", "--clusterrole=cluster-admin", f"--serviceaccount={account}"]
        self.api.kubectl("create", *binding)
        token = self.api.kubectl("create", "token", "bench", "-n", names.NAMESPACE, "--duration=24h")
        (self.folder / "token").write_text(token)
        (self.folder / "ca.crt").write_bytes(self.api.ca_cert.read_bytes())

    def _objects(self) -> Iterator[tuple[str, bytes]]:
        """Nodes and pods as they stand in etcd."""
        result = time.monotonic()
        for on, name in enumerate(self.nodes):
            if time.monotonic() - result > 10:
                result = time.monotonic()
                say(f"  {on} of {len(self.nodes)} nodes filled")
            born = {"uid": made.uid(on, 999), "creationTimestamp": "2026-11-21T00:00:00Z"}
            body = made.node(on)
            body["metadata"] |= born
            yield f"minions/{name}", msgspec.json.encode(body)
            self.uids[name] = [made.uid(on, number) for number in range(self.pods_each)]
            for number, uid in enumerate(self.uids[name]):
                body = made.pod(number, on)
                body["metadata"] |= born | {"uid": uid}
                body["status"] = {"phase": "Running"}
                yield f"pods/default/{body['metadata']['name']}", msgspec.json.encode(body)

    def floor(self) -> float:
        """Seconds that a bare client needs for what a cold start asks of the server: the same lists and writes."""
        owners = {}
        began = time.monotonic()
        for page in self.rest.pages(NODES, {}):
            for raw in page.items or ():
                metadata = json.loads(bytes(raw))["metadata"]
                owners[metadata["name"]] = metadata["uid"]
        listed = sum(len(page.items or ()) for page in self.rest.pages(PODS, {}))
        assert listed == len(self.nodes) * self.pods_each
        amounts = dict(zip(KEYS, ("20000", str(64 * made.GI), "250"), strict=True))

        def write(name: str) -> None:
            owner = [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": owners[name]}]
            pods = [{"uid": uid, "cpuRequest": 500, "memoryLimit": made.GI} for uid in self.uids[name][4::5]]
            body = {
                "apiVersion": NODE_COLOCATIONS.group_version,
                "kind": "NodeColocation",
                "metadata": {"name": name, "ownerReferences": owner},
                "spec": {"enabled": True, "policy": {"name": "bench"}, "pods": pods},
            }
            self.rest.create(NODE_COLOCATIONS.path(), body)
            self.report(name)
            self.rest.patch(NODES.path(name, sub="status"), {"status": {"capacity": amounts, "allocatable": amounts}})

        each(write, self.nodes)
        return time.monotonic() - began

    def report(self, name: str, system: int = 2000, shift: int = 0) -> None:
        """One node's agent reports."""
        status = made.report(made.stamp(), self.uids[name], system, shift)
        self.rest.patch(NODE_COLOCATIONS.path(name, sub="status"), {"status": status})

    def reset(self) -> None:
        """Nothing of ours is on the nodes any more, and no lease is held."""
        # One by one: the server gives up after a minute on a request for all, and not always with an answer.
        each(lambda name: self.rest.delete(NODE_COLOCATIONS.path(name)), self.nodes)
        gone = dict.fromkeys(KEYS)
        body = {
            "metadata": {"annotations": {names.WITHDRAWN_ANNOTATION: None}},
            "status": {"capacity": gone, "allocatable": gone},
        }
        each(lambda name: self.rest.patch(NODES.path(name, sub="status"), body), self.nodes)
        self.rest.delete(LEASES.path(namespace=names.NAMESPACE))

    def manager(self, rate: float) -> subprocess.Popen[bytes]:
        """Start a manager with this many writes a second (0: no limit)."""
        (port,) = free_ports(1)
        with (self.folder / f"manager-{rate:g}.log").open("wb") as log:
            at = urlsplit(self.api.url)
            argv = [str(at.hostname), str(at.port), str(self.folder), str(port), f"{rate:g}"]
            return subprocess.Popen([sys.executable, "-m", "tests.bench.pod", *argv], stderr=log)


class Watcher:
    """Sees every Node as it changes, and reports once for every NodeColocation that appears, as its agent would."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._published: dict[str, float] = {}
        self._reported: set[str] = set()
        self._wanted: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._synced = threading.Semaphore(0)
        self._whole = threading.Event()
        self.moved: Callable[[NodeFacts, float], None] = lambda *_: None
        """Told of every Node that the watch shows, and when."""
        rest = cluster.rest
        self._reflectors: list[Reflector[Any, Any]] = [
            Reflector(rest, NODES, Node, node_facts, self._node),
            Reflector(rest, NODE_COLOCATIONS, NodeColocation, lambda wire: wire.metadata.name, self._appeared),
        ]
        self._agents = [threading.Thread(target=self._report, daemon=True) for _ in range(4)]

    def __enter__(self) -> Self:
        """Begin; returns once everything there was has been seen."""
        for agent in self._agents:
            agent.start()
        for reflector in self._reflectors:
            reflector.start()
        for _ in self._reflectors:
            self._synced.acquire()
        return self

    def __exit__(self, *how: object) -> None:
        """End."""
        for reflector in self._reflectors:
            reflector.stop()
        for _ in self._agents:
            self._wanted.put(None)

    def wait_published(self, seconds: float) -> float:
        """When the last node was published (monotonic). Raises TimeoutError with how many were."""
        if not self._whole.wait(seconds):
            raise TimeoutError(f"{len(self._published)} of {len(self._cluster.nodes)} nodes after {seconds:.0f} s")
        return max(self._published.values())

    def _node(self, event: object) -> None:
        if isinstance(event, Synced):
            self._synced.release()
        elif isinstance(event, Upsert):
            now, facts = time.monotonic(), event.object
            if facts.published.cpu is not None and facts.name not in self._published:
                self._published[facts.name] = now
                if len(self._published) == len(self._cluster.nodes):
                    self._whole.set()
            self.moved(facts, now)

    def _appeared(self, event: object) -> None:
        if isinstance(event, Synced):
            self._synced.release()
        elif isinstance(event, Upsert) and event.key not in self._reported:
            self._reported.add(event.key)
            self._wanted.put(event.key)

    def _report(self) -> None:
        while (name := self._wanted.get()) is not None:
            try:
                self._cluster.report(name)
            except ApiError as error:
                say(f"  report of {name}: {error}")


def each(do: Callable[[Any], object], items: Iterable[Any], what: str = "") -> None:
    """Do it for all, as many at once as the manager has writers; with ``what``, say how far it is every 10 s."""
    todo = list(items)
    result = time.monotonic()
    with ThreadPoolExecutor(WRITERS) as pool:
        for done, _ in enumerate(pool.map(do, todo), 1):
            if what and (time.monotonic() - result > 10 or done == len(todo)):
                result = time.monotonic()
                say(f"  {done} of {len(todo)} {what}")
