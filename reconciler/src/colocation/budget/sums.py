"""What a node's pods come to: the terms of the sum that need a look at every pod.

Computed again when a pod, the report or the strategy changes, and kept until then, so that deciding a node again costs
the same with two pods or with two hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct, field

from colocation.budget.publish import Allocated, allocated_to
from colocation.budget.select import Selection
from colocation.budget.shares import Share, shares
from colocation.model.facts import PodFacts, Qos
from colocation.model.report import NodeColocationStatus, PodUsage


class Resource(StrEnum):
    """The two resources that are oversold."""

    CPU = "cpu"
    MEMORY = "memory"


UNSEEN: Final = {Resource.CPU: 250, Resource.MEMORY: 200 * 2**20}
"""What an online pod without a sample counts for at least: 250m and 200Mi."""

LEARN: Final = {Resource.CPU: 3600, Resource.MEMORY: 6 * 3600}
"""Seconds a pod must have been observed before its prediction may be below its request: docs/prediction.md."""


class Estimate(Struct, frozen=True, gc=False):
    """What one online pod counts for, and by which rule."""

    amount: int
    rule: str


class Peaks(Struct, frozen=True, gc=False):
    """What a pod of some workload needs at most; 0: not known."""

    cpu: int = 0
    memory: int = 0


class KnownPeaks(Protocol):
    """The peaks of workloads, by name."""

    def get(self, workload: str, /) -> Peaks | None:
        """Of one; None: not known."""


NONE_KNOWN: Final[Mapping[str, Peaks]] = {}


class PodSum(Struct, frozen=True, gc=False):
    """One resource of all pods of a node."""

    online: int = 0
    requested: int = 0
    """Use by online pods."""
    unrequested: int = 0
    overhead: int = 0
    """Overhead of the RuntimeClasses of BE pods, unless it is in another term."""
    problem: str | None = None
    """Why the sum is unknown (a metric of a pod is missing)."""


class PodSums(Struct, frozen=True, gc=False):
    """All pods of a node, for the strategies they were added up by."""

    allocated: Allocated = Allocated()
    cpu: PodSum = PodSum()
    memory: PodSum = PodSum()
    strategies: tuple[str, str] | None = None
    """For cpu and memory; None: no policy, or no report to add up."""
    siblings: Mapping[str, Peaks] = NONE_KNOWN
    """Peaks by workload, of those with a pod here that has not been observed for long enough."""
    shares: dict[str, Share] = field(default_factory=dict)
    """By namespace."""


def estimate(
    pod: PodFacts, row: PodUsage | None, resource: Resource, strategy: str, siblings: Peaks | None = None
) -> Estimate:
    """What an online pod counts for. A row whose metric is missing counts like no row (`compute` reports it).

    ``siblings``: what the running pods of its workload need, for a pod that has not been observed for long enough.
    """
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
            sibling = 0 if siblings is None else (siblings.cpu if cpu else siblings.memory)
            amount, rule = _predicted(row, resource, request, mean, sibling)
    if cpu and pod.qos is Qos.HLS and request > amount:
        return Estimate(request, "HLS: its cores are exclusive")
    return Estimate(amount, rule)


def _predicted(row: PodUsage | None, resource: Resource, request: int, mean: int, sibling: int) -> tuple[int, str]:
    """Predicted peak, never below what is used now; until enough was seen the request, or what its workload needs."""
    cpu = resource is Resource.CPU
    predicted = None if row is None else row.predicted
    if predicted is None:
        peak = 0 if row is None else (row.cpu_peak if cpu else row.memory_peak) or 0
        rule, by = "still learning: max(request, peak use)", "still learning"
    else:
        peak, minutes = (predicted.cpu if cpu else predicted.memory), predicted.observed_seconds // 60
        if predicted.observed_seconds >= LEARN[resource]:
            return max(mean, peak), "predicted peak" if peak >= mean else "mean use, above the predicted peak"
        by = f"still learning ({minutes} of {LEARN[resource] // 60} min)"
        rule = f"{by}: max(request, predicted peak)"
    alone = max(request, mean, peak)
    if sibling and 0 < max(sibling, mean, peak) < alone:
        return max(sibling, mean, peak), f"{by}: peak of its workload's running pods"
    return alone, rule


def add_up_one(
    pods: Collection[PodFacts],
    rows: Mapping[str, PodUsage],
    resource: Resource,
    strategy: str,
    gone_be: Collection[str] = (),
    siblings: KnownPeaks = NONE_KNOWN,
) -> PodSum:
    """Add up one resource of a node's bound, unfinished pods.

    ``rows``: the report's rows by cgroup uid; ``gone_be``: uids of BE pods that ended after the report was made
    (their use must not turn into online use); ``siblings``: see `estimate`, by workload.
    """
    cpu = resource is Resource.CPU
    problem = None
    online = requested = unrequested = overhead = matched = 0
    for pod in pods:
        row = rows.get(pod.cgroup_uid)
        if row is not None:
            matched += 1
            if (row.cpu if cpu else row.memory) is None:
                problem = problem or f"the report has no {resource} use of pod {pod.name}"
        if pod.qos is not Qos.BE:
            online += estimate(pod, row, resource, strategy, siblings.get(pod.workload)).amount
            requested += pod.cpu if cpu else pod.memory
        else:
            sandbox = pod.overhead_cpu if cpu else pod.overhead_memory
            used = 0 if pod.requests_be or row is None else (row.cpu if cpu else row.memory) or 0
            unrequested += used
            if sandbox > used:
                overhead += sandbox - used
    if matched < len(rows):
        for uid in rows.keys() - {pod.cgroup_uid for pod in pods}:
            if uid not in gone_be:  # still on the node, gone from the API: online unless we know better
                online += (rows[uid].cpu if cpu else rows[uid].memory) or 0
    return PodSum(online, requested, unrequested, overhead, problem)


def strategies(selection: Selection, status: NodeColocationStatus | None) -> tuple[str, str] | None:
    """What the sums depend on besides pods and report."""
    if selection.winner is None or status is None:
        return None
    oversell = selection.winner.spec.oversell
    return oversell.cpu.strategy, oversell.memory.strategy


def add_up(
    pods: Collection[PodFacts],
    status: NodeColocationStatus | None = None,
    by: tuple[str, str] | None = None,
    gone_be: Collection[str] = (),
    known: KnownPeaks = NONE_KNOWN,
) -> PodSums:
    """Add up all pods of a node by these `strategies`; without a report only what is allocated.

    ``known``: what the pods of each workload need, on all nodes.
    """
    allocated = allocated_to(pods)
    rows = {} if status is None else {row.uid: row for row in status.pods}
    if status is None or by is None:
        return PodSums(allocated, shares=shares(pods, rows))
    siblings = _siblings(pods, rows, known)
    return PodSums(
        shares=shares(pods, rows),
        allocated=allocated,
        cpu=add_up_one(pods, rows, Resource.CPU, by[0], gone_be, siblings),
        memory=add_up_one(pods, rows, Resource.MEMORY, by[1], gone_be, siblings),
        strategies=by,
        siblings=siblings,
    )


def _siblings(pods: Collection[PodFacts], rows: Mapping[str, PodUsage], known: KnownPeaks) -> Mapping[str, Peaks]:
    """The peaks that count here: those of workloads with a pod that has not been observed for long enough."""
    found = {}
    for pod in pods:
        if not pod.workload or (row := rows.get(pod.cgroup_uid)) is None:
            continue
        observed_seconds = 0 if row.predicted is None else row.predicted.observed_seconds
        if observed_seconds < LEARN[Resource.MEMORY] and (peaks := known.get(pod.workload)) is not None:
            found[pod.workload] = peaks
    return found or NONE_KNOWN
