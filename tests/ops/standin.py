"""A stand-in for another manager: it writes be-* to all Nodes every second, as openFuyao's own is said to do.

openFuyao's own is not to be had here, so this is not it. It is a real Deployment of the name by which that one is
known, with a writer to the real API server inside, and it never removes a number.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab import machines
from tests.lab.cluster import Cluster
from tests.lab.waiting import eventually

NAME = ("-n", "theirs", "deployment/colocation-manager")
KEYS = ("kubernetes.io/be-cpu", "kubernetes.io/be-memory", "colocation.openfuyao.com/be-pods")
WRITER = """
import json, os, ssl, time, urllib.request
home = "/var/run/secrets/kubernetes.io/serviceaccount/"
context = ssl.create_default_context(cafile=home + "ca.crt")
amounts = {"kubernetes.io/be-cpu": "1500", "kubernetes.io/be-memory": "3Gi"}
body = json.dumps({"status": {"capacity": amounts, "allocatable": amounts}}).encode()
while True:
    for node in ("node1", "node2"):
        url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}/api/v1/nodes/{node}/status"
        token = open(home + "token").read()
        headers = {"Authorization": "Bearer " + token, "Content-Type": "application/merge-patch+json"}
        request = urllib.request.Request(url, body, headers, method="PATCH")
        urllib.request.urlopen(request, context=context, timeout=10)
    time.sleep(1)
"""


class Standin:
    """The Deployment, in a namespace of its own."""

    def __init__(self, cluster: Cluster, image: Path) -> None:
        self.cluster, self.image = cluster, image
        self._had = {node.name: self._images(node.name) for node in cluster.lab.nodes}

    def start(self) -> None:
        """Run it, and wait until both Nodes have its numbers."""
        for node in self.cluster.lab.nodes:
            machines.load_image(self.cluster.lab, node, self.image)
        self.cluster.apply(*_objects(_reference(self.cluster)))
        self.cluster.kubectl("rollout", "status", *NAME, "--timeout=60s")
        eventually(lambda: all(s[0] == "1500" for s in self._nodes().values()), 30, "the stand-in has written")

    def replicas(self) -> int:
        """How many are wanted."""
        return int(self.cluster.get(*NAME)["spec"]["replicas"])

    def end(self) -> None:
        """Take it, its numbers and its image away."""
        self.cluster.kubectl("delete", "namespace", "theirs", "--ignore-not-found")
        self.cluster.kubectl("delete", "clusterrole,clusterrolebinding", "theirs", "--ignore-not-found")
        for node in self.cluster.lab.nodes:
            gone = json.dumps({"status": {part: dict.fromkeys(KEYS) for part in ("capacity", "allocatable")}})
            self.cluster.kubectl("patch", "node", node.name, "--subresource=status", "--type=merge", "-p", gone)
            mine = " ".join(self._images(node.name) - self._had[node.name])
            self.cluster.ssh(node.name, f"ctr -n k8s.io images rm {mine}; rm -f /srv/images/{self.image.name}*")

    @contextmanager
    def watch(self) -> Iterator[Callable[[], list[tuple[str, list[str | None]]]]]:
        """All that ever stands on the Nodes meanwhile, as a watch tells it."""
        lab = self.cluster.lab
        argv = [str(lab.bin / "kubectl"), "--kubeconfig", str(lab.kubeconfig), "get", "nodes", "-o", "json", "--watch"]
        argv.append("--output-watch-events")
        seen: list[tuple[str, list[str | None]]] = []
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
            reader = threading.Thread(target=_read, args=(running.stdout, seen))
            reader.start()
            eventually(lambda: seen, 20, "the watch has begun")
            try:
                yield lambda: seen
            finally:
                running.terminate()
                reader.join(10)

    def _images(self, node: str) -> set[str]:
        return set(self.cluster.ssh(node, "ctr -n k8s.io images ls -q").split())

    def _nodes(self) -> dict[str, list[str | None]]:
        return dict(_numbers(node) for node in self.cluster.get("nodes")["items"])


def _read(lines: Any, seen: list[tuple[str, list[str | None]]]) -> None:
    for line in lines:  # kubectl writes watch events one a line, whatever it does with objects
        name, numbers = _numbers(json.loads(line)["object"])
        # A number that is missing in either place is missing.
        seen.append((name, numbers))


def _numbers(node: dict[str, Any]) -> tuple[str, list[str | None]]:
    parts = [node["status"].get(part, {}) for part in ("capacity", "allocatable")]
    return node["metadata"]["name"], [parts[0].get(key) if key in parts[1] else None for key in KEYS]


def _reference(cluster: Cluster) -> str:
    given = cluster.ssh("node1", "ctr -n k8s.io images ls -q | grep colocation-overquota-agent")
    return str(given.split()[0])


def _objects(image: str) -> list[dict[str, Any]]:
    labels = {"app": "theirs"}
    rbac = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "theirs"}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "theirs"}
    container = {"name": "c", "image": image, "imagePullPolicy": "Never", "command": ["python3", "-c", WRITER]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "theirs"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "theirs"},
            "rules": [{"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "theirs"},
            "roleRef": rbac,
            "subjects": [subject],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "colocation-manager", "namespace": "theirs"},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
    ]
