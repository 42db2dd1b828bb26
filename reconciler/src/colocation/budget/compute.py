"""The formula, for one node and one resource.

margin   = capacity x (100 - reclaimPercent) / 100
system   = max(system usage, capacity - allocatable)
online   = sum of estimate(pod) over HLS and LS pods
unbooked = use of BE pods that asked for no be-* at all
result   = clamp(capacity - margin - system - online - unbooked, 0, capacity x maxPercent / 100), down to a quantum
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import OversellCpu, OversellMemory
from colocation.model.quantity import millicores, parse
from colocation.model.report import NodeColocationStatus, PodUsage


class Resource(StrEnum):
    """The two resources that are oversold."""

    CPU = "cpu"
    MEMORY = "memory"


UNSEEN: Final = {Resource.CPU: 250, Resource.MEMORY: 200 * 2**20}
"""What an online pod without a sample counts for at least: 250m and 200Mi."""
LEARN: Final = {Resource.CPU: 3600, Resource.MEMORY: 6 * 3600}
"""Seconds a pod must have been watched before its prediction may be below its request: docs/prediction.md."""


class Estimate(Struct, frozen=True, gc=False):
    """What one online pod counts for, and by which rule."""

    amount: int
    rule: str


class Budget(Struct, frozen=True):
    """Every term of the sum for one resource."""

    resource: Resource
    capacity: int
    margin: int
    system_usage: int | None
    reserved: int
    """capacity - allocatable: what Kubernetes keeps for the system."""
    system: int
    online: int
    unbooked: int
    ceiling: int
    """capacity x maxPercent / 100."""
    quantum: int
    free: int
    """capacity - margin - system - online - unbooked; may be negative."""
    result: int
    problem: str | None = None
    """Why this resource cannot be computed (a metric is missing): the result is 0 then."""


def estimate(pod: PodFacts, row: PodUsage | None, resource: Resource, strategy: str) -> Estimate:
    """What an online pod counts for. A row whose metric is missing counts like no row (`compute` reports it)."""
    cpu = resource is Resource.CPU
    request = pod.cpu if cpu else pod.memory
    mean = None if row is None else (row.cpu if cpu else row.memory)
    if mean is None:
        least = UNSEEN[resource]
        return Estimate(
            max(request, least), "no sample yet: max(request, 250m)" if cpu else "no sample yet: max(request, 200Mi)"
        )
    match strategy:
        case "usage":
            amount, rule = mean, "mean use"
        case "request":
            amount, rule = request, "request"
        case "maxUsageRequest":
            amount, rule = max(mean, request), "max(mean use, request)"
        case _:
            amount, rule = _predicted(row, resource, request, mean)
    if cpu and pod.qos is Qos.HLS and request > amount:
        return Estimate(request, "HLS: its cores are exclusive")
    return Estimate(amount, rule)


def _predicted(row: PodUsage | None, resource: Resource, request: int, mean: int) -> tuple[int, str]:
    """Predicted peak, never below what is used now; beside the request while too little was seen."""
    cpu = resource is Resource.CPU
    if row is None or row.predicted is None:
        peak = 0 if row is None else (row.cpu_peak if cpu else row.memory_peak) or 0
        return max(request, mean, peak), "still learning: max(request, peak use)"
    peak, watched = (row.predicted.cpu if cpu else row.predicted.memory), row.predicted.watched
    if watched < LEARN[resource]:
        rule = f"still learning ({watched // 60} of {LEARN[resource] // 60} min): max(request, predicted peak)"
        return max(request, mean, peak), rule
    return max(mean, peak), "predicted peak" if peak >= mean else "mean use, above the predicted peak"


def compute(
    node: NodeFacts,
    resource: Resource,
    policy: OversellCpu | OversellMemory,
    report: NodeColocationStatus,
    pods: Collection[PodFacts],
    rows: Mapping[str, PodUsage],
    gone_be: Collection[str] = (),
) -> Budget:
    """Compute one resource of one node.

    ``pods``: the node's bound, unfinished pods; ``rows``: the report's rows by cgroup uid; ``gone_be``: uids of
    BE pods that ended after the report was made (their use must not turn into online use).
    """
    cpu = resource is Resource.CPU
    capacity = node.cpu_capacity if cpu else node.memory_capacity
    reserved = max(0, capacity - (node.cpu_allocatable if cpu else node.memory_allocatable))
    usage = None if report.system is None else (report.system.cpu if cpu else report.system.memory)
    quantum = max(1, millicores(policy.quantum) if cpu else parse(policy.quantum))
    problem = f"the report has no {resource} use of the system" if usage is None else None

    online = unbooked = 0
    known = set()
    for pod in pods:
        known.add(pod.cgroup_uid)
        row = rows.get(pod.cgroup_uid)
        if row is not None and (row.cpu if cpu else row.memory) is None:
            problem = problem or f"the report has no {resource} use of pod {pod.name}"
        if pod.qos is not Qos.BE:
            online += estimate(pod, row, resource, policy.strategy).amount
        elif not pod.booked and row is not None:
            unbooked += (row.cpu if cpu else row.memory) or 0
    for uid, row in rows.items():  # still on the node, gone from the API: online unless we know better
        if uid not in known and uid not in gone_be:
            online += (row.cpu if cpu else row.memory) or 0

    # Ceiling division for what is kept back, floor for what is given: against the offline side.
    margin = -(-capacity * (100 - policy.reclaim_percent) // 100)
    ceiling = capacity * policy.max_percent // 100
    system = max(usage or 0, reserved)
    free = capacity - margin - system - online - unbooked
    result = 0 if problem else max(0, min(free, ceiling)) // quantum * quantum
    return Budget(
        resource=resource,
        capacity=capacity,
        margin=margin,
        system_usage=usage,
        reserved=reserved,
        system=system,
        online=online,
        unbooked=unbooked,
        ceiling=ceiling,
        quantum=quantum,
        free=free,
        result=result,
        problem=problem,
    )
