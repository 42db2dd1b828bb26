"""What is assessed: each node's use at steps of five minutes, its pods' use by the hour. CPU millicores, memory bytes.

Step ``i`` stands for the five minutes that end ``i + 1`` steps after the start, hour ``h`` for the steps ``12 h`` to
``12 h + 11``. A value that was not measured is None, never zero.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from colocation.model.facts import NodeFacts, PodFacts, Qos

STEP: Final = 300
HOUR: Final = 3600
STEPS_AN_HOUR: Final = HOUR // STEP
VERSION: Final = 1
Values = list[int | None]


class PodTrace(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """One pod, hour by hour. A pod of the same name on another node, or after an hour of absence, is another one."""

    namespace: str
    name: str
    owner: str = ""
    """Kind/name of what created it, as far up as is known."""
    qos: Qos = Qos.LS
    priority: int = 0
    cpu_request: int = 0
    memory_request: int = 0
    cpu_limit: int | None = None
    memory_limit: int | None = None
    live: bool = True
    """It is still there, so the rest is its Pod's word."""
    requests_known: bool = True
    first: int = 0
    """The hour of the first value."""
    cpu: Values = field(default_factory=list)
    """Means of the hours."""
    cpu_peak: Values = field(default_factory=list)
    """The largest five minutes of each hour."""
    memory: Values = field(default_factory=list)
    memory_peak: Values = field(default_factory=list)

    def facts(self, node: str) -> PodFacts:
        """As the budget wants it."""
        uid = f"{self.namespace}/{self.name}/{self.first}"
        return PodFacts(
            uid=uid,
            cgroup_uid=uid,
            name=f"{self.namespace}/{self.name}",
            node=node,
            qos=self.qos,
            running=True,
            cpu=self.cpu_request,
            memory=self.memory_request,
        )


class NodeTrace(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """One node."""

    name: str
    pool: str
    cpu_capacity: int
    cpu_allocatable: int
    memory_capacity: int
    memory_allocatable: int
    cpu_reserved: int = 0
    memory_reserved: int = 0
    """By the annotation `colocation.openfuyao.com/reserved`."""
    cpu: Values = field(default_factory=list)
    """Use of the whole node."""
    memory: Values = field(default_factory=list)
    pods_cpu: Values = field(default_factory=list)
    """Use of all its pods."""
    pods_memory: Values = field(default_factory=list)
    pods: list[PodTrace] = field(default_factory=list)

    def facts(self) -> NodeFacts:
        """As the budget wants it: taking part, with nothing published."""
        return NodeFacts(
            name=self.name,
            uid=self.name,
            resource_version="",
            labels={},
            cpu_capacity=self.cpu_capacity,
            cpu_allocatable=self.cpu_allocatable,
            memory_capacity=self.memory_capacity,
            memory_allocatable=self.memory_allocatable,
            cpu_annotated=self.cpu_reserved,
            memory_annotated=self.memory_reserved,
        )


class Workload(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """Pods of one owner as they are now, for advice."""

    namespace: str
    name: str
    """Kind/name of the owner."""
    pods: int
    cpu_request: int
    memory_request: int
    reasons: list[str]


class Inventory(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """What the API server says of the cluster, beside use."""

    cluster: str = ""
    kubernetes: str = ""
    selectors: dict[str, dict[str, str]] = field(default_factory=dict)
    """Labels by which a policy selects each pool; none: all nodes."""
    candidates: list[Workload] = field(default_factory=list)
    """Workloads that look as if they could be best-effort."""
    at_risk: list[Workload] = field(default_factory=list)
    """Online workloads that a busier node would hurt."""
    obstacles: list[str] = field(default_factory=list)


class Header(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """The first line of a trace file."""

    version: int
    source: str
    """Where the use was read."""
    start: int
    """Unix seconds; a full hour."""
    steps: int
    nodes: int = 0
    scrape_seconds: int = 0
    """Between two samples of the source; 0: not known."""
    notes: list[str] = field(default_factory=list)
    """What is missing, and what that costs in truth."""
    inventory: Inventory = field(default_factory=Inventory)

    @property
    def hours(self) -> int:
        """Full hours."""
        return self.steps // STEPS_AN_HOUR

    @property
    def end(self) -> int:
        """Unix seconds."""
        return self.start + self.steps * STEP
