# SPDX-License-Identifier: Apache-2.0
"""Names, addresses and paths of a lab: everything else asks here.

Two labs may run side by side: ``LAB_ID`` selects the subnet, the network
namespaces, the cgroup parent and the state folder, so they share nothing but
the cache.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

CLONE = Path(__file__).resolve().parents[2]
FILES = Path(__file__).resolve().parent / "files"
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
API_PORT = 6443
# cgroup v1 hierarchies a machine gets a sub-group of its own in.
HIERARCHIES = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", "unified")
CGROUPS = Path("/sys/fs/cgroup")
MAX_NODES = 9
# A node shows the whole host's memory unless told otherwise; 8 GiB each makes
# be-memory numbers look like those of separate machines.
DEFAULT_MEM_KB = 8 * 1024 * 1024


@dataclass(frozen=True)
class Node:
    """One machine of the lab."""

    index: int
    name: str
    address: str
    pod_cidr: str
    netns: str
    root: Path


@dataclass(frozen=True)
class Lab:
    """One lab: immutable, made from the environment once per command."""

    ident: int
    node_count: int
    mem_kb: int
    clone: Path

    @property
    def hub(self) -> str:
        """Network namespace of the control plane; also the cgroup parent's name."""
        return f"colab{self.ident}"

    @property
    def subnet(self) -> str:
        """Where the API server, the nodes and this machine's end of the veth live."""
        return f"10.99.{self.ident}.0/24"

    @property
    def api_address(self) -> str:
        """Address of the API server, and the nodes' default gateway."""
        return f"10.99.{self.ident}.1"

    @property
    def root_address(self) -> str:
        """This machine's own address in the lab's subnet."""
        return f"10.99.{self.ident}.254"

    @property
    def veth(self) -> str:
        """This machine's end of the cable into the lab."""
        return f"colab{self.ident}"

    @property
    def api_url(self) -> str:
        """What every kubeconfig points at."""
        return f"https://{self.api_address}:{API_PORT}"

    @property
    def state(self) -> Path:
        """Folder of the running lab; `down` removes it whole."""
        return self.clone / (".lab" if self.ident == 0 else f".lab-{self.ident}")

    @property
    def run(self) -> Path:
        """Records of started processes."""
        return self.state / "run"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.state / "log"

    @property
    def pki(self) -> Path:
        """Certificates and keys of the cluster."""
        return self.state / "pki"

    @property
    def bin(self) -> Path:
        """Links to the programs, for people."""
        return self.state / "bin"

    @property
    def kubeconfig(self) -> Path:
        """Administrator's kubeconfig, usable from this machine as it is."""
        return self.state / "kubeconfig"

    @property
    def ssh_key(self) -> Path:
        """Key that opens the machines."""
        return self.state / "ssh_key"

    @property
    def known_hosts(self) -> Path:
        """The machines' host keys: generated here, so known before first contact."""
        return self.state / "known_hosts"

    @property
    def inventory(self) -> Path:
        """Ansible's view of the lab."""
        return self.state / "inventory.yml"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The machines, in order."""
        return tuple(self._node(i) for i in range(1, self.node_count + 1))

    def node(self, name: str) -> Node:
        """The machine of that name, or an error that lists the names there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError(f"no node {name!r}; this lab has {', '.join(n.name for n in self.nodes)}")

    def _node(self, index: int) -> Node:
        name = f"node{index}"
        return Node(
            index=index,
            name=name,
            address=f"10.99.{self.ident}.{10 + index}",
            pod_cidr=f"10.244.{index}.0/24",
            netns=f"{self.hub}-{name}",
            root=self.state / "machines" / name,
        )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Lab:
        """Read ``LAB_ID``, ``LAB_NODES`` and ``MEM_KB``; refuse what cannot work."""
        env = os.environ if env is None else env
        return cls(
            ident=_number(env, "LAB_ID", 0, 0, 99),
            node_count=_number(env, "LAB_NODES", 2, 1, MAX_NODES),
            mem_kb=_number(env, "MEM_KB", DEFAULT_MEM_KB, 512 * 1024, 1 << 40),
            clone=CLONE,
        )


def cache_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where built programs and the machines' base system are kept between runs."""
    env = os.environ if env is None else env
    if given := env.get("COLOCATION_CACHE"):
        return Path(given).absolute()
    return Path.home() / ".cache" / "openfuyao-colocation"


def _number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise LabError(f"{name}={text!r}: a whole number from {low} to {high} is needed")
    return value
