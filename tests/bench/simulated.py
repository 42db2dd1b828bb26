# SPDX-License-Identifier: Apache-2.0
"""Nodes of which only kubelet and agent are made up: the cluster that they are in is a real one.

Once a second: a DaemonSet's pod that was bound to one of them is said to run, one that is to go is gone, and for each
NodeColocation a report is written. Control plane, scheduler, chart and manager are the lab's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import UTC, datetime
from typing import Any

from colocation.kube.resources import LEASES, NODE_COLOCATIONS, NODES, PODS
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from tests.bench import made
from tests.bench.cluster import each
from tests.lab.progress import say

LEASE_SECONDS = 20.0
REPORT_SECONDS = 30.0
KUBELETS = "kube-node-lease"


class Simulated:
    """These Nodes, looked after by a thread until the end."""

    def __init__(self, rest: Rest, nodes: list[str]) -> None:
        self._rest, self.nodes = rest, nodes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._reported: dict[str, float] = {}

    def start(self) -> None:
        """Make the Nodes, and begin."""
        each(self._make, self.nodes)
        self._renew()
        self._thread.start()

    def stop(self) -> None:
        """End, and take the Nodes away."""
        self._over.set()
        self._thread.join()
        each(lambda name: self._rest.delete(NODES.path(name)), self.nodes)

    def _make(self, name: str) -> None:
        body = made.node(0)
        body["metadata"] = {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64"}}
        status = body.pop("status")
        self._rest.create(NODES.path(), body)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated"}
        ready |= {"lastHeartbeatTime": _now(), "lastTransitionTime": _now()}
        self._rest.patch(NODES.path(name, sub="status"), {"status": status | {"conditions": [ready]}})

    def _run(self) -> None:
        renewed = time.monotonic()
        while not self._over.wait(1.0):
            try:
                self._pods()
                self._reports()
                if time.monotonic() - renewed > LEASE_SECONDS:
                    renewed = time.monotonic()
                    self._renew()
            except ApiError as error:
                say(f"  simulated nodes: {error}")

    def _renew(self) -> None:
        each(self._lease, self.nodes)

    def _lease(self, name: str) -> None:
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now(micro=True)}
        path = LEASES.path(name, namespace=KUBELETS)
        try:
            self._rest.patch(path, {"spec": spec})
        except ApiError as error:
            if error.code != 404:
                raise
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
            self._rest.create(LEASES.path(namespace=KUBELETS), body)

    def _pods(self) -> None:
        ours = set(self.nodes)
        for pod in self._list(PODS.path(namespace=names.NAMESPACE)):
            if pod["spec"].get("nodeName") not in ours:
                continue
            path = PODS.path(pod["metadata"]["name"], namespace=names.NAMESPACE)
            with contextlib.suppress(ApiError):  # it may have gone meanwhile
                if "deletionTimestamp" in pod["metadata"]:
                    self._gone(path, pod["metadata"]["uid"])
                elif pod["status"].get("phase") == "Pending":
                    self._rest.patch(f"{path}/status", {"status": _running(pod)})

    def _gone(self, path: str, uid: str) -> None:
        options = b'{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,"preconditions":{"uid":"%s"}}'
        self._rest.send("DELETE", path, body=options % uid.encode())

    def _reports(self) -> None:
        now = time.monotonic()
        there = {o["metadata"]["name"] for o in self._list(NODE_COLOCATIONS.path())} & set(self.nodes)
        late = [n for n in there if now - self._reported.get(n, -REPORT_SECONDS) >= REPORT_SECONDS]
        each(self._report, late)
        self._reported = {n: now if n in late else self._reported[n] for n in there}

    def _report(self, name: str) -> None:
        with contextlib.suppress(ApiError):  # as an agent that comes too late
            self._rest.patch(NODE_COLOCATIONS.path(name, sub="status"), {"status": made.report(made.stamp(), [])})

    def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            items: list[dict[str, Any]] = self._rest.get(path, dict).get("items") or []
        except ApiError as error:
            if error.code != 404:  # the kind is not there yet
                raise
            return []
        return items


def _running(pod: dict[str, Any]) -> dict[str, Any]:
    began = _now()
    containers = [
        {
            "name": c["name"], "image": c["image"], "imageID": "", "ready": True, "started": True, "restartCount": 0,
            "state": {"running": {"startedAt": began}},
        }
        for c in pod["spec"]["containers"]
    ]  # fmt: skip
    ready = [
        {"type": kind, "status": "True", "lastTransitionTime": began}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    return {"phase": "Running", "startTime": began, "conditions": ready, "containerStatuses": containers}


def _now(*, micro: bool = False) -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds" if micro else "seconds").replace("+00:00", "Z")
