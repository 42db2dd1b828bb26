# SPDX-License-Identifier: Apache-2.0
"""One lab node with the roll-out on it, and what the benches do to its pods."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench.agent.pods import NAMESPACE, meta
from tests.lab import machines
from tests.lab.cluster import Cluster
from tests.lab.config import CGROUPS, CLONE, Lab
from tests.lab.waiting import eventually

FILES: Final = Path(__file__).parent / "files"
DEMO: Final = CLONE / "tests/demo/files"
NODE: Final = "node1"
MOST_SHARES: Final = 1 << 18


class BenchNode(Cluster):
    """The lab's first node. Its pods' groups are looked at, frozen and thawed from this machine."""

    def __init__(self) -> None:
        os.environ.setdefault("LAB_NODES", "1")
        super().__init__(Lab.from_env())

    def up(self) -> None:
        """A lab of one node, rolled out as an operator would; one that is up already is taken."""
        for module in (["tests.lab", "up"], ["build.image"], ["build.chart"]):
            subprocess.run([sys.executable, "-m", *module], cwd=CLONE, check=True)
        self.playbook("site", "-e", f"@{FILES / 'rollout.yml'}", quiet=True)
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        sources = {path.name: path.read_text() for path in (DEMO / "service.py", DEMO / "batch.py")}
        self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("programs"), "data": sources})
        eventually(lambda: self.kubectl("get", "sa", "-n", NAMESPACE, "default", check=False), 20, "ServiceAccount")

    def down(self) -> None:
        """Take the lab away; what is frozen could not end."""
        for state in (CGROUPS / "freezer" / self.lab.hub).glob("*/kubepods/*/pod*/freezer.state"):
            state.write_text("THAWED")
        subprocess.run([sys.executable, "-m", "tests.lab", "down"], cwd=CLONE, check=True)

    def image(self) -> str:
        """The image that the roll-out brought: it has a Python."""
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return self.kubectl("get", "deployment", "-n", "openfuyao-colocation", "colocation-manager", "-o", path)

    def mode(self, mode: str) -> None:
        """How the policy suppresses offline CPU from now on."""
        self.kubectl(
            "patch", "cpol", "bench", "--type=merge", "-p", f'{{"spec":{{"suppress":{{"cpu":{{"mode":"{mode}"}}}}}}}}'
        )
        spec = "jsonpath={.spec.suppress.cpu.mode}"
        eventually(
            lambda: self.kubectl("get", "ncol", NODE, "-o", spec) in (mode, "" if mode == "auto" else mode),
            10,
            mode,
            0.2,
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """All others stand back: control plane, and whoever else works here, are on other machines in real life."""
        shares = CGROUPS / "cpu" / self.lab.hub / "cpu.shares"
        before = shares.read_text()
        shares.write_text(str(MOST_SHARES))
        try:
            yield
        finally:
            shares.write_text(before)

    def groups(self, selector: str) -> list[str]:
        """Groups of the running pods with this label, relative to a hierarchy of this machine."""
        found = []
        for pod in self.get("pods", "-n", NAMESPACE, "-l", selector)["items"]:
            qos = {"BestEffort": "besteffort/", "Burstable": "burstable/", "Guaranteed": ""}[pod["status"]["qosClass"]]
            found.append(f"{self.lab.hub}/{NODE}/kubepods/{qos}pod{pod['metadata']['uid']}")
        return found

    def run(self, *manifests: dict[str, Any], selector: str, pods: int, seconds: float = 120) -> list[str]:
        """Apply, wait until that many pods run, and say where their groups are."""
        self.apply(*manifests)

        def running() -> Any:
            rows = self.get("pods", "-n", NAMESPACE, "-l", selector)["items"]
            return sum(row["status"]["phase"] == "Running" for row in rows) >= pods

        eventually(running, seconds, f"{pods} pods of {selector} run")
        return self.groups(selector)

    def agent(self) -> int:
        """The agent's process, by its number on this machine."""
        label = "app.kubernetes.io/component=agent"
        pod = self.get("pods", "-n", "openfuyao-colocation", "-l", label)["items"][0]
        for path in (CGROUPS / "cpu" / self.lab.hub / NODE / "kubepods").rglob(
            f"pod{pod['metadata']['uid']}/*/cgroup.procs"
        ):
            for pid in path.read_text().split():
                if b"agent" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        raise RuntimeError("no agent on the node")

    def kubelet_log(self, since: float) -> str:
        """What kubelet has said since a moment (seconds of the epoch)."""
        return machines.ssh(self.lab, self.lab.node(NODE), f"journalctl -u kubelet -o cat --since=@{since:.0f}")


def read(controller: str, group: str, file: str) -> str:
    """One cgroup file of this machine."""
    return (CGROUPS / controller / group / file).read_text().strip()


def used(group: str = "") -> int:
    """CPU used so far, ns."""
    return int(read("cpuacct", group, "cpuacct.usage"))


def stolen() -> float:
    """CPU that the hypervisor kept from this machine so far, ns: the eighth number of proc_stat(5)'s first line."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) * 1e9 / os.sysconf("SC_CLK_TCK")


def freeze(groups: list[str]) -> None:
    """Let these pods stand still: they use no CPU, and nobody has to start or end one."""
    _frozen(groups, "FROZEN")


def thaw(groups: list[str]) -> None:
    """Let them go on."""
    _frozen(groups, "THAWED")


def _frozen(groups: list[str], state: str) -> None:
    for group in groups:
        (CGROUPS / "freezer" / group / "freezer.state").write_text(state)
    until = time.monotonic() + 5
    while any(read("freezer", group, "freezer.state") != state for group in groups):
        if time.monotonic() > until:
            raise RuntimeError(f"not {state} after 5 s")
        time.sleep(0.01)
