# SPDX-License-Identifier: Apache-2.0
"""The playbook `upgrade` with nothing to do on hundreds of simulated hosts: what it costs the control machine.

API server, Helm, chart and collection are real. Nodes, agents' pods, reports and the Deployment's status are written
here, once; hosts are stand-ins that answer as this machine did (`files/replayed.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from tests.ansible import cluster, installed, prepare
from tests.bench import made
from tests.bench.cluster import each
from tests.bench.figures import Figure, Report, figure
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.progress import say, step

SIZES: Final = tuple(int(n) for n in os.environ.get("UPGRADE_HOSTS", "100:400:1000").split(":"))
FORKS: Final = 20
HASH: Final = "bench"
SEEN: Final = 1_000_000
"""observedGeneration of controllers that have seen every change, the next ones too."""
FILES: Final = Path(__file__).parent / "files"
APPS: Final = f"/apis/apps/v1/namespaces/{names.NAMESPACE}"
GROWTH: Final = 1.25
"""A host of the most hosts costs at most this much of one of the fewest."""


class Took(Struct):
    """One run."""

    seconds: float
    cpu: float
    """CPU seconds of ansible-playbook and all its children."""
    mib: float
    """The most that ansible-playbook's own process had in memory."""


def run(*, full: bool) -> Report:
    """All sizes; ``full`` changes nothing."""
    prepare.main()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, step("collection, API server, release"):
        bench = Bench(Path(scratch))
        with bench.api:
            bench.install()
            return Report("Upgrade of many hosts with nothing to do", _words(), bench.figures())


def _words() -> str:
    return (
        "`upgrade` on simulated hosts that are all of the new version. API server, etcd, Helm and ansible-playbook "
        "share the cores with whatever else this machine did (the load is above): CPU seconds, of ansible-playbook "
        "and all its children, say more than seconds on the clock. No module runs on a host: each gets the answer of "
        f"this machine, so what is measured is the control machine alone. ANSIBLE_FORKS={FORKS}, pipelining. "
        "Memory is ansible-playbook's main process; up to so many forks share most of it."
    )


class Bench:
    """A release on an API server, and as many Nodes and hosts as it is asked for."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.api = scratch, ApiServer(scratch / "api")
        self.collections = installed.ours()
        self.made: list[str] = []

    def install(self) -> None:
        """The chart as `upgrade` would leave it: it ran once for two hosts."""
        charts = Path(self.collections.partition(":")[0], "ansible_collections/openfuyao/colocation/roles")
        (chart,) = (charts / "colocation_manager/files").glob("*.tgz")
        self.rest = Rest(kubeconfig(str(self.api.kubeconfig)), connections=12)
        cluster.install(self.api, chart, {"agent": {"updateStrategy": "OnDelete"}}, ())
        self.grow(2)
        self.controllers()
        self.play(2)

    def figures(self) -> list[Figure]:
        """Every size, smallest first."""
        found = {}
        for count in SIZES:
            with step(f"{count} hosts"):
                self.grow(count)
                found[count] = self.play(count)
                say(f"  {found[count]}")
        figures = []
        for count, took in found.items():
            figures += [
                figure(f"{count}-seconds", took.seconds, "s"),
                figure(f"{count}-cpu", took.cpu, "s", note="CPU of ansible-playbook and its children."),
                figure(f"{count}-cpu-host", 1000 * took.cpu / count, "ms", note="The same for each host."),
                figure(f"{count}-memory", took.mib, "MiB", note="Most memory of ansible-playbook's main process."),
            ]
        few, many = min(found), max(found)
        if few < many:
            least = found[few].cpu / few
            note = (
                f"What each host costs in a run of {many}, beside each host in one of {few}: 1 is linear, less is the "
                "part that does not grow."
            )
            figures.append(
                figure("growth", found[many].cpu / many / least, "x", floor=1.0, most_ratio=GROWTH, note=note)
            )
        return figures

    def grow(self, count: int) -> None:
        """So many Nodes that publish, each with its agent's pod and a fresh report."""
        new = [f"sim-{n:04d}" for n in range(len(self.made), count)]
        each(self._node, new, "Nodes made")
        self.made += new

    def controllers(self) -> None:
        """What kube-controller-manager would have written: it has seen every change, and all agents are new."""
        n = self.rest.get(f"{APPS}/deployments/colocation-manager", dict)["spec"].get("replicas", 1)
        status = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), n)
        status["observedGeneration"] = SEEN
        self.rest.patch(f"{APPS}/deployments/colocation-manager/status", {"status": status})
        agents = self.rest.get(f"{APPS}/daemonsets/colocation-agent", dict)["metadata"]
        status = dict.fromkeys(("desiredNumberScheduled", "currentNumberScheduled", "numberReady"), len(self.made))
        status |= {"observedGeneration": SEEN, "numberMisscheduled": 0}
        self.rest.patch(f"{APPS}/daemonsets/colocation-agent/status", {"status": status})
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "colocation-agent", "uid": agents["uid"]}
        body = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "revision": 1,
            "data": {},
            "metadata": {
                "name": "colocation-agent-bench",
                "labels": {"controller-revision-hash": HASH},
                "ownerReferences": [owner],
            },
        }
        _unless_there(self.rest, f"{APPS}/controllerrevisions", body)

    def play(self, count: int) -> Took:
        """`upgrade`, for so many hosts; it must change nothing."""
        rows = {name: {"ansible_connection": "replayed"} for name in self.made[:count]}
        variables = {
            "colocation_kubeconfig": str(self.api.kubeconfig),
            "colocation_helm_binary": str(binaries.path("helm")),
            "ansible_python_interpreter": sys.executable,
            "colocation_manager_timeout": 300,
        }
        place = cluster.inventory(self.scratch, rows, **variables)
        (self.scratch / "replayed").mkdir(exist_ok=True)
        env = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        env |= {
            "ANSIBLE_COLLECTIONS_PATH": self.collections,
            "ANSIBLE_CONNECTION_PLUGINS": str(FILES),
            "ANSIBLE_CALLBACK_PLUGINS": str(FILES),
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks",
            "ANSIBLE_FORKS": str(FORKS),
            "ANSIBLE_PIPELINING": "1",
            "REPLAYED": str(self.scratch / "replayed"),
        }
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), "openfuyao.colocation.upgrade", "-i", str(place)]
        log = Path(os.environ.get("UPGRADE_LOG", str(self.scratch / "log")) + f"-{count}")
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(argv, cwd=self.scratch, env=env, stdout=output, stderr=subprocess.STDOUT)
            _, code, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(code)
        took = time.monotonic() - began
        if process.returncode:
            raise LabError(f"upgrade of {count} hosts ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        # Of all children it waited for, ru_maxrss is the largest process: the main one, whose forks share its pages.
        return Took(took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def _node(self, name: str) -> None:
        body = made.node(0)
        labels = {"kubernetes.io/hostname": name, cluster.LABEL: "true"}
        body["metadata"] = {"name": name, "labels": labels}
        amounts = {"kubernetes.io/be-cpu": "1000", "kubernetes.io/be-memory": "1Gi"}
        status: dict[str, Any] = body.pop("status")
        _unless_there(self.rest, NODES.path(), body)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated"}
        ready |= {"lastHeartbeatTime": _now(), "lastTransitionTime": _now()}
        status |= {kind: status[kind] | amounts for kind in ("capacity", "allocatable")} | {"conditions": [ready]}
        self.rest.patch(NODES.path(name, sub="status"), {"status": status})
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"colocation-agent-{name}",
                "labels": {
                    "app.kubernetes.io/name": "colocation",
                    "app.kubernetes.io/component": "agent",
                    "controller-revision-hash": HASH,
                },
            },
            "spec": {"nodeName": name, "containers": [{"name": "agent", "image": "agent"}]},
        }
        where = PODS.path(namespace=names.NAMESPACE)
        _unless_there(self.rest, where, pod)
        running = {"name": "agent", "image": "agent", "imageID": "", "ready": True, "restartCount": 0}
        running["state"] = {"running": {"startedAt": "2026-11-21T00:00:00Z"}}
        conditions = [{"type": "Ready", "status": "True"}]
        answer = {"phase": "Running", "conditions": conditions, "containerStatuses": [running]}
        self.rest.patch(f"{where}/colocation-agent-{name}/status", {"status": answer})
        ncol = {"apiVersion": NODE_COLOCATIONS.group_version, "kind": "NodeColocation", "metadata": {"name": name}}
        _unless_there(self.rest, NODE_COLOCATIONS.path(), ncol | {"spec": {}})
        self.rest.patch(NODE_COLOCATIONS.path(name, sub="status"), {"status": made.report(made.stamp(), [])})


def _unless_there(rest: Rest, path: str, body: dict[str, Any]) -> None:
    try:
        rest.create(path, body)
    except ApiError as error:
        if error.code != 409:
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
