"""A made node with one best-effort and one online pod, and an agent on it."""

from __future__ import annotations

import msgspec

from colocation.agent import specs
from colocation.agent.loop import Loop
from colocation.agent.specs import ReadSpec, Specs
from colocation.kube.cache import Upsert
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.model.report import BePod, Capabilities, Capacity, NodeColocationSpec, PolicyRef
from colocation.node.apply import Applier
from colocation.node.histories import HistoryWriter
from colocation.node.journal import Journal
from colocation.node.sampler import Sampler
from colocation.node.state import Followed

SPEC = NodeColocationSpec(
    enabled=True,
    policy=PolicyRef(name="p"),
    capacity=Capacity(cpu=4000, memory=1 << 30),
    pods=(BePod(uid="be1", cpu_request=500, cpu_limit=500, memory_limit=1 << 20),),
)


FEATURES = ("cpu.idle", "cpu.quota", "memory.limit")


def upsert(spec=SPEC, generation=1):
    return Upsert(NODE_COLOCATIONS, "node1", ReadSpec(Followed(spec, generation)), listed=True)


def stored(**changes):
    """SPEC as another version stored it: as the watch hands it on."""
    spec = {**msgspec.to_builtins(SPEC), **changes}
    wire = msgspec.json.decode(msgspec.json.encode({"metadata": {}, "spec": spec}), type=specs._Object)
    return Upsert(NODE_COLOCATIONS, "node1", specs.read_spec(wire), listed=False)


class Node:
    """A made v2 node with one BE and one online pod."""

    def __init__(self, tmp_path):
        self.root, self.state = tmp_path / "cgroup", tmp_path / "state"
        for group in ("", "kubepods", "kubepods/besteffort/podbe1", "kubepods/podonline1"):
            (self.root / group).mkdir(parents=True, exist_ok=True)
            files = {"cpu.max": "max 100000", "cpu.idle": "0", "memory.max": "max", "memory.current": "4096"}
            files |= {"memory.stat": "inactive_file 0\nactive_file 96\n", "cpu.stat": "usage_usec 0\nnr_throttled 0\n"}
            for name, text in files.items():
                (self.root / group / name).write_text(text + "\n")
            (self.root / group / "sandbox").mkdir(exist_ok=True)
        (self.root / "cgroup.controllers").write_text("cpu memory\n")
        self.now = 1_000_000_000
        self.specs = Specs(self.state / "state")
        self.features = FEATURES
        self.loop = self.make()

    def make(self, sender=None):
        self.sampler = Sampler(str(self.root), "/proc", lambda: self.now)
        journal = Journal(str(self.state / "journal"), str(self.root))
        self.applier = Applier(self.sampler.layout, journal)
        found = Capabilities(kernel="k", cgroup_version=2, features=self.features)
        keeper = HistoryWriter(self.state / "state" / "histories.json")
        parts = {"sampler": self.sampler, "applier": self.applier, "specs": self.specs}
        return Loop(**parts, capabilities=found, keeper=keeper, sender=sender)

    def restart(self):
        """Another agent takes over, with what the disk holds."""
        self.loop.close()
        self.specs = Specs(self.state / "state")
        self.loop = self.make()

    def rounds(self, count=2):
        for _ in range(count):
            self.now += 1_000_000_000
            self.loop.step()

    def values(self, pod="besteffort/podbe1"):
        names = ("cpu.max", "cpu.idle", "memory.max")
        return tuple((self.root / "kubepods" / pod / name).read_text().strip() for name in names)


HELD, FREE = ("50000 100000", "1", str(1 << 20)), ("max 100000", "0", "max")


def running(*pods):
    return msgspec.structs.replace(SPEC, pods=tuple(msgspec.structs.replace(pod, running=True) for pod in pods))


def enforced(node):
    (condition,) = (row for row in node.loop.status().conditions if row.type == "Enforced")
    return condition.status, condition.reason, condition.message


class Reports:
    """NOT a sender: as many reports have arrived as a test says."""

    def __init__(self, sent=1, error=""):
        self.sent, self.error, self.failures, self.busy = sent, error, 0, True

    def failure(self):
        return None
