"""ColocationPolicy: the one source of its fields, defaults and ranges.

``make generate`` derives the CRD schema, the Ansible module's options and the role's argument spec from
these Structs; nothing else states a default.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from colocation.model import rubik
from colocation.model.rubik import Rubik

Percent = Annotated[int, Meta(ge=0, le=100)]
QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?$"
Quantity = Annotated[str, Meta(pattern=QUANTITY_PATTERN, max_length=32)]
BUDGET_PATTERN: Final = r"^(0|0\.[1-9][0-9]?|[1-9](\.[0-9]{1,2})?|1[0-9](\.[0-9]{1,2})?|20)%$"
"""0, or 0.1 to 20 percent."""
Budget = Annotated[str, Meta(pattern=BUDGET_PATTERN, max_length=8)]
Strategy = Literal["usage", "request", "maxUsageRequest", "predicted"]


class Requirement(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One expression of a label selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class LabelSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """metav1.LabelSelector; empty selects every node."""

    match_labels: dict[str, str] = field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()


class OversellCpu(Struct, frozen=True, kw_only=True, rename="camel"):
    """How idle CPU becomes be-cpu."""

    strategy: Annotated[Strategy, Meta(description="What counts as used by an online pod.")] = "predicted"
    reclaim_percent: Annotated[
        int, Meta(ge=0, le=100, description="Percent of capacity that may be used in all; the rest is kept as margin.")
    ] = 60
    max_percent: Annotated[
        int, Meta(ge=0, le=100, description="Never oversell more than this percent of capacity.")
    ] = 100
    quantum: Annotated[Quantity, Meta(description="Published values are multiples of this many cores.")] = "100m"
    violation_budget: Annotated[
        Budget,
        Meta(
            description="Strategy predicted: the share of time in which online pods together may use more within "
            "an hour than was forecast; the margin adapts to it. 0.1% to 20%; 0%: the pods' own peaks are added up."
        ),
    ] = "1%"


class OversellMemory(Struct, frozen=True, kw_only=True, rename="camel"):
    """How idle memory becomes be-memory."""

    strategy: Annotated[Strategy, Meta(description="What counts as used by an online pod.")] = "predicted"
    reclaim_percent: Annotated[
        int, Meta(ge=0, le=100, description="Percent of capacity that may be used in all; the rest is kept as margin.")
    ] = 65
    max_percent: Annotated[
        int, Meta(ge=0, le=100, description="Never oversell more than this percent of capacity.")
    ] = 100
    quantum: Annotated[Quantity, Meta(description="Published values are multiples of this many bytes.")] = "64Mi"
    violation_budget: Annotated[
        Budget,
        Meta(
            description="Strategy predicted: the share of time in which online pods together may use more within "
            "an hour than was forecast; the margin adapts to it. 0.1% to 20%; 0%: the pods' own peaks are added up."
        ),
    ] = "0.5%"


class Oversell(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is published, and how quickly the number may move."""

    cpu: OversellCpu = OversellCpu()
    memory: OversellMemory = OversellMemory()
    stale_after_seconds: Annotated[
        int, Meta(ge=10, le=86400, description="A node without a fresh report for this many seconds is withdrawn.")
    ] = 180
    grow_after_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86400,
            description="Shrinks are published at once; growth only after it has lasted this many seconds.",
        ),
    ] = 300
    max_pods: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Best-effort pods a node may hold. 0, or fewer than are bound: closed to new ones.",
        ),
    ] = 250


class ViolationBudgets(Struct, frozen=True, kw_only=True, rename="camel"):
    """The policy's two violation budgets, as sent to a node's agent."""

    cpu: Budget = "1%"
    memory: Budget = "0.5%"


class Report(Struct, frozen=True, kw_only=True, rename="camel"):
    """When an agent writes its report: on change, and as a heartbeat."""

    interval_seconds: Annotated[int, Meta(ge=5, le=3600, description="A report at least this often (jittered).")] = 60
    min_interval_seconds: Annotated[int, Meta(ge=1, le=3600, description="Never more often than this.")] = 5
    change_percent: Annotated[
        int, Meta(ge=1, le=100, description="Report early when use moved by this many percent of capacity.")
    ] = 10


class SuppressCpu(Struct, frozen=True, kw_only=True, rename="camel"):
    """How best-effort CPU gives way to online work."""

    mode: Annotated[
        Literal["auto", "idle", "quota", "off"],
        Meta(description="auto: idle scheduling and quotas, whatever the kernel has; off: no CPU limits are written."),
    ] = "auto"
    target_percent: Annotated[
        int, Meta(ge=1, le=100, description="Percent of the node that online and best-effort work may use together.")
    ] = 65
    min_percent: Annotated[int, Meta(ge=0, le=100, description="Percent of the node best-effort work always gets.")] = 0


class Suppress(Struct, frozen=True, kw_only=True, rename="camel"):
    """Protection of online work on the node."""

    cpu: SuppressCpu = SuppressCpu()


class Rollout(Struct, frozen=True, kw_only=True, rename="camel"):
    """How a change of this policy rolls out: to its canary nodes first, and to all others once those are healthy."""

    percent: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Percent of the policy's nodes that are canaries and get a change first; 100: all at once.",
        ),
    ] = 100
    node_selector: Annotated[
        LabelSelector, Meta(description="Only nodes with these labels can be canaries; empty: any.")
    ] = LabelSelector()
    pause_seconds: Annotated[
        int, Meta(ge=10, le=604800, description="How long the canary nodes must stay healthy before all others follow.")
    ] = 600
    max_pressure_rise: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Percentage points by which CPU or memory pressure (PSI some avg10) may rise more on the "
            "canary nodes than on the others; above that the change stops.",
        ),
    ] = 10
    max_evictions: Annotated[
        int, Meta(ge=0, le=1000, description="Evictions on canary nodes beyond the others' rate; more stop the change.")
    ] = 2


class EvictMemory(Struct, frozen=True, kw_only=True, rename="camel"):
    """When best-effort pods are evicted to free memory: page cache is reclaimed first, then one pod at a time."""

    high_percent: Annotated[
        int, Meta(ge=1, le=100, description="Percent of the node's memory in use from which pods are evicted.")
    ] = 85
    low_percent: Annotated[
        int, Meta(ge=1, le=100, description="Evictions continue, one pod after another, down to this percent.")
    ] = 80
    pressure_percent: Annotated[
        int, Meta(ge=0, le=100, description="Memory pressure (PSI some, 10 s) that counts as the high mark; 0: none.")
    ] = 0
    closed_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86400,
            description="Seconds a node must have too little memory for what is allocated before best-effort pods "
            "move to open nodes with room; 0: never.",
        ),
    ] = 0


class EvictCpu(Struct, frozen=True, kw_only=True, rename="camel"):
    """When a best-effort pod that gets no CPU is evicted rather than kept without it."""

    satisfaction_percent: Annotated[
        int, Meta(ge=0, le=100, description="A pod held below this percent of its be-cpu request starves; 0: never.")
    ] = 10
    starved_seconds: Annotated[
        int, Meta(ge=10, le=86400, description="Seconds a pod must starve before it is evicted.")
    ] = 600
    closed_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86400,
            description="Seconds a node must have too little CPU for what is allocated before best-effort pods move "
            "to open nodes with room; 0: never.",
        ),
    ] = 0


class Evict(Struct, frozen=True, kw_only=True, rename="camel"):
    """When best-effort pods are asked to leave: proposed by the agent, carried out by the Eviction API."""

    memory: EvictMemory = EvictMemory()
    cpu: EvictCpu = EvictCpu()


class Disk(Struct, frozen=True, kw_only=True, rename="camel"):
    """What best-effort pods may do to the disks; 0: as it is. Bounds are per pod and per disk of the node."""

    weight: Annotated[
        int,
        Meta(ge=0, le=1000, description="I/O weight of a pod (the default of others is 100); needs BFQ or iocost."),
    ] = 0
    read_bytes_per_second: Annotated[int, Meta(ge=0, le=2**40, description="Bytes a second read.")] = 0
    write_bytes_per_second: Annotated[int, Meta(ge=0, le=2**40, description="Bytes a second written.")] = 0
    read_ops_per_second: Annotated[int, Meta(ge=0, le=10**7, description="Reads a second.")] = 0
    write_ops_per_second: Annotated[int, Meta(ge=0, le=10**7, description="Writes a second.")] = 0


class Resctrl(Struct, frozen=True, kw_only=True, rename="camel"):
    """One resctrl group for all best-effort tasks, on bare metal that has it; 0: as it is."""

    l3_percent: Annotated[int, Meta(ge=0, le=100, description="Percent of the last-level cache's ways.")] = 0
    memory_bandwidth_percent: Annotated[int, Meta(ge=0, le=100, description="Percent of memory bandwidth.")] = 0


class Protect(Struct, frozen=True, kw_only=True, rename="camel"):
    """Further protection of online work; each is off by default. docs/agent.md says when to."""

    memory_high_percent: Annotated[
        int,
        Meta(ge=0, le=100, description="Percent of its be-memory limit from which a pod is made to give memory back."),
    ] = 0
    memory_low_percent: Annotated[
        int, Meta(ge=0, le=100, description="Percent of its memory request that is kept for an online pod.")
    ] = 0
    burst_percent: Annotated[
        int, Meta(ge=0, le=100, description="Percent of its CPU quota that an online pod may save up for a burst.")
    ] = 0
    disk: Disk = Disk()
    resctrl: Resctrl = Resctrl()


def part(budget: str) -> float:
    """A Budget as a part of one."""
    return float(budget.removesuffix("%")) / 100


class PolicySpec(Struct, frozen=True, kw_only=True, rename="camel"):
    """ColocationPolicy.spec."""

    enabled: Annotated[bool, Meta(description="false: the nodes of this policy oversell nothing.")] = True
    priority: Annotated[
        int, Meta(ge=-1000, le=1000, description="The highest wins among policies that select a node; ties: by name.")
    ] = 0
    node_selector: Annotated[LabelSelector, Meta(description="Nodes this policy is for; empty: all.")] = LabelSelector()
    oversell: Oversell = Oversell()
    report: Report = Report()
    suppress: Suppress = Suppress()
    evict: Evict = Evict()
    protect: Protect = Protect()
    engine: Annotated[
        Literal["native", "rubik", "none"],
        Meta(description="native: this agent enforces; rubik: openEuler's does its part; none: it only measures."),
    ] = "native"
    rubik: Annotated[Rubik | None, Meta(description="With engine rubik: what it does beside preemption.")] = None
    rollout: Rollout = Rollout()


CEL_RULES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    # Struct name -> (CEL expression over `self`, message): what one field's range cannot say.
    **rubik.CEL_RULES,
    "PolicySpec": (
        (
            "self.oversell.staleAfterSeconds >= 2 * self.report.intervalSeconds",
            "oversell.staleAfterSeconds must be at least twice report.intervalSeconds, "
            "or a node is withdrawn between two reports",
        ),
    ),
    "Report": (
        (
            "self.minIntervalSeconds <= self.intervalSeconds",
            "report.minIntervalSeconds must not be larger than report.intervalSeconds",
        ),
    ),
    "SuppressCpu": (
        (
            "self.minPercent <= self.targetPercent",
            "suppress.cpu.minPercent must not be larger than suppress.cpu.targetPercent",
        ),
    ),
    "EvictMemory": (
        (
            "self.lowPercent < self.highPercent",
            "evict.memory.lowPercent must be smaller than evict.memory.highPercent, or every reading evicts",
        ),
    ),
    "Protect": (
        (
            "self.memoryHighPercent == 0 || self.memoryHighPercent >= 50",
            "protect.memoryHighPercent must be 0 (off) or at least 50: lower, a pod does nothing but reclaim",
        ),
    ),
    "Disk": (
        (
            "[self.readBytesPerSecond, self.writeBytesPerSecond].all(n, n == 0 || n >= 1048576)",
            "protect.disk.readBytesPerSecond and writeBytesPerSecond must be 0 (off) or at least 1048576 (1 MiB a "
            "second)",
        ),
        (
            "[self.readOpsPerSecond, self.writeOpsPerSecond].all(n, n == 0 || n >= 10)",
            "protect.disk.readOpsPerSecond and writeOpsPerSecond must be 0 (off) or at least 10",
        ),
    ),
    "OversellCpu": (("quantity(self.quantum).isGreaterThan(quantity('0'))", "oversell.cpu.quantum must be above 0"),),
    "OversellMemory": (
        ("quantity(self.quantum).isGreaterThan(quantity('0'))", "oversell.memory.quantum must be above 0"),
    ),
}
