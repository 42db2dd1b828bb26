"""The node under test, with a real kubelet: a lab node (cgroup v1), or the emulated machine (cgroup v2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tests.lab import binaries, control_plane, machines
from tests.lab.apiserver import ApiServer
from tests.lab.config import CLONE, Lab
from tests.lab.lifecycle import running
from tests.lab.process import run
from tests.lab.vm import HOST, NAME, Vm
from tests.lab.waiting import eventually

AGENT_PORT = 9101
KIND = os.environ.get("MACHINE", "v1")
"""v1: a node of the lab. v2: the emulated machine."""


class Machine(ABC):
    """What the tests ask of a node and of its cluster."""

    name: str
    version: int
    slow: int
    """How many times slower than this host it is: what tests wait for is multiplied with it."""
    kubeconfig: Path
    api: tuple[str, int]
    """Host and port of the API server, as the node sees it."""
    ca: Path

    @abstractmethod
    def ssh(self, command: str, *, check: bool = True, stdin: str | None = None) -> str:
        """Run a shell command on it, as root."""

    @abstractmethod
    def push_command(self) -> list[str]:
        """The command that takes a tar archive from stdin and unpacks it at /."""

    @abstractmethod
    def agent_address(self) -> str:
        """host:port at which the agent's metrics are to be had from here."""

    @abstractmethod
    def api_away(self) -> None:
        """Kill the API server."""

    @abstractmethod
    def api_back(self) -> None:
        """Start it again, with the same data."""

    @abstractmethod
    def reboot(self) -> None:
        """Reboot, and wait until ssh answers."""

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """kubectl as the cluster's administrator."""
        command = [str(binaries.path("kubectl")), f"--kubeconfig={self.kubeconfig}", *args]
        return run(command, stdin=stdin, check=check, timeout=180).stdout

    def get(self, *args: str) -> dict[str, Any]:
        """One object, or a List."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json"))
        return answer

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(each) for each in objects))

    def push(self, source: Path, target: str, *only: str) -> None:
        """Copy a folder (or only these of its entries) to an absolute path on the machine."""
        pack = ["tar", "-C", str(source), "--exclude=__pycache__", "--transform", f"s,^,{target.strip('/')}/,"]
        with subprocess.Popen([*pack, "-cf", "-", *(only or ("./",))], stdout=subprocess.PIPE) as tar:
            subprocess.run(self.push_command(), stdin=tar.stdout, check=True)
        assert tar.returncode == 0

    def eventually(self, look: Any, seconds: float, what: str) -> Any:
        """Look until it is true; a slow machine is given more time."""
        return eventually(look, seconds * self.slow, what)

    @abstractmethod
    def close(self) -> None:
        """Take it away."""


class LabMachine(Machine):
    """node1 of the lab that is up."""

    version, slow, name = 1, 1, "node1"

    def __init__(self, lab: Lab) -> None:
        self.lab = running(lab)
        self.node = self.lab.node(self.name)
        self.kubeconfig, self.api = self.lab.kubeconfig, (self.lab.api_address, 6443)
        self.ca = self.lab.pki / "ca.crt"

    def ssh(self, command: str, *, check: bool = True, stdin: str | None = None) -> str:
        return machines.ssh(self.lab, self.node, command, check=check, stdin=stdin, timeout=300)

    def push_command(self) -> list[str]:
        return machines.ssh_command(self.lab, self.node, "tar -C / -xf -")

    def agent_address(self) -> str:
        return f"{self.node.address}:{AGENT_PORT}"

    def api_away(self) -> None:
        control_plane.stop(self.lab, "apiserver")

    def api_back(self) -> None:
        control_plane.start(self.lab, "apiserver")
        control_plane.wait_ready(self.lab)

    def reboot(self) -> None:
        before = self.ssh("systemctl show -p UserspaceTimestampMonotonic")
        self.ssh("systemctl reboot", check=False)
        again = "systemctl show -p UserspaceTimestampMonotonic"
        eventually(lambda: self.ssh(again, check=False) not in ("", before), 120, "the machine is back")

    def close(self) -> None:
        subprocess.run([sys.executable, "-m", "tests.lab", "down"], cwd=CLONE, check=True)


class VmMachine(Machine):
    """The emulated machine, registered with an API server on loopback: no scheduler, no controllers."""

    version, slow, name = 2, 6, NAME

    def __init__(self, folder: Path) -> None:
        (folder / "api").mkdir()
        self.server = ApiServer(folder / "api", hosts=[f"IP:{HOST}"])
        self.kubeconfig, self.api, self.ca = self.server.kubeconfig, (HOST, self.server.port), self.server.ca_cert
        self.vm = Vm(folder, ports=[AGENT_PORT])

    def start(self) -> None:
        """API server and machine; kubelet Ready."""
        self.server.start()
        self.vm.start()
        pki = self.server.pki
        pair = pki.issue(NAME, f"system:node:{NAME}", ["system:nodes"], [f"DNS:{NAME}", "IP:127.0.0.1"])
        config = pki.kubeconfig(f"https://{HOST}:{self.server.port}", pair)
        files = {"ca.crt": pki.ca.read_text(), "node.crt": pair.cert.read_text(), "node.key": pair.key.read_text()}
        for name, text in {**files, "kubelet.conf": config}.items():
            self.ssh(f"umask 077; cat > /etc/kubernetes/{name}", stdin=text)
        self.ssh("systemctl enable --now kubelet")
        self.eventually(self.ready, 60, "kubelet on the emulated machine is Ready")

    def ready(self) -> bool:
        path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        return self.kubectl("get", "node", NAME, "-o", path, check=False) == "True"

    def ssh(self, command: str, *, check: bool = True, stdin: str | None = None) -> str:
        return self.vm.ssh(command, check=check, stdin=stdin, timeout=600)

    def push_command(self) -> list[str]:
        return self.vm.ssh_command("tar -C / -xf -")

    def agent_address(self) -> str:
        return f"127.0.0.1:{self.vm.forward[AGENT_PORT]}"

    def api_away(self) -> None:
        self.server.kill()

    def api_back(self) -> None:
        self.server.start()

    def reboot(self) -> None:
        self.vm.reboot()

    def close(self) -> None:
        self.vm.__exit__(None, None, None)
        self.server.stop()
