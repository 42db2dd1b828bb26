"""The formula, for one node and one resource.

margin   = capacity x (100 - reclaimPercent) / 100
system   = max(system usage, capacity - allocatable, what the node's annotation reserves)
online   = sum of estimate(pod) over HLS and LS pods
unrequested = use of BE pods that asked for no be-* at all
overhead = what the RuntimeClasses of BE pods add to them in plain cpu and memory
free     = capacity - margin - system - online - unrequested - overhead
result   = clamp(free, 0, capacity x maxPercent / 100), down to a quantum
"""

from __future__ import annotations

from msgspec import Struct

from colocation.budget.sums import PodSum, PodSums, Resource
from colocation.model.facts import NodeFacts
from colocation.model.policy import Oversell, OversellCpu, OversellMemory
from colocation.model.quantity import millicores, parse
from colocation.model.report import NodeColocationStatus


class Budget(Struct, frozen=True, gc=False):
    """Every term of the sum for one resource."""

    resource: Resource
    capacity: int
    margin: int
    system_usage: int | None
    reserved: int
    """capacity - allocatable: what Kubernetes keeps for the system."""
    annotated: int
    """What the node's annotation keeps for work outside Kubernetes."""
    system: int
    online: int
    unrequested: int
    overhead: int
    ceiling: int
    """capacity x maxPercent / 100."""
    quantum: int
    free: int
    """capacity - margin - system - online - unrequested - overhead; may be negative."""
    result: int
    problem: str | None = None
    """Why this resource cannot be computed (a metric is missing): the result is 0 then."""


class Computed(Struct, frozen=True, gc=False):
    """Both resources of a node, and from what: they stay true while each of these is the very same object."""

    node: NodeFacts
    oversell: Oversell
    report: NodeColocationStatus
    pods: PodSums
    cpu: Budget
    memory: Budget

    def of(self, node: NodeFacts, oversell: Oversell, report: NodeColocationStatus, pods: PodSums) -> bool:
        """It is what `compute_both` would return."""
        return self.pods is pods and self.report is report and self.node is node and self.oversell is oversell


def compute_both(node: NodeFacts, oversell: Oversell, report: NodeColocationStatus, pods: PodSums) -> Computed:
    """Compute one node."""
    return Computed(
        node,
        oversell,
        report,
        pods,
        compute(node, Resource.CPU, oversell.cpu, report, pods.cpu),
        compute(node, Resource.MEMORY, oversell.memory, report, pods.memory),
    )


def margin_of(capacity: int, reclaim_percent: int) -> int:
    """What is kept free of a capacity, rounded up."""
    return -(-capacity * (100 - reclaim_percent) // 100)


def offer(free: int, ceiling: int, quantum: int) -> int:
    """What may be published of ``free``: whole quanta, at least nothing, at most the ceiling."""
    return max(0, min(free, ceiling)) // quantum * quantum


def compute(
    node: NodeFacts,
    resource: Resource,
    policy: OversellCpu | OversellMemory,
    report: NodeColocationStatus,
    pods: PodSum,
) -> Budget:
    """Compute one resource of one node."""
    cpu = resource is Resource.CPU
    capacity = node.cpu_capacity if cpu else node.memory_capacity
    reserved = max(0, capacity - (node.cpu_allocatable if cpu else node.memory_allocatable))
    usage = None if report.system is None else (report.system.cpu if cpu else report.system.memory)
    quantum = max(1, millicores(policy.quantum) if cpu else parse(policy.quantum))
    annotated = node.cpu_annotated if cpu else node.memory_annotated
    problem = f"the report has no {resource} use of the system" if usage is None else pods.problem
    problem = node.problem or problem

    # Ceiling division for what is kept back, floor for what is given: against the offline side.
    margin = margin_of(capacity, policy.reclaim_percent)
    ceiling = capacity * policy.max_percent // 100
    system = max(usage or 0, reserved, annotated)
    free = capacity - margin - system - pods.online - pods.unrequested - pods.overhead
    result = 0 if problem else offer(free, ceiling, quantum)
    return Budget(
        resource=resource,
        capacity=capacity,
        margin=margin,
        system_usage=usage,
        reserved=reserved,
        annotated=annotated,
        system=system,
        online=pods.online,
        unrequested=pods.unrequested,
        overhead=pods.overhead,
        ceiling=ceiling,
        quantum=quantum,
        free=free,
        result=result,
        problem=problem,
    )
