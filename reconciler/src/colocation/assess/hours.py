"""What a node's pods come to in each hour, by every strategy; by the very rules of the budget. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from colocation.assess.shape import HOUR, NodeTrace, PodTrace
from colocation.budget.sums import LEARN, Resource, add_up_one, estimate
from colocation.model.facts import PodFacts, Qos
from colocation.model.report import PodUsage

_LEARNT_HOURS: Final = {resource: seconds // HOUR for resource, seconds in LEARN.items()}


class HourSums(Struct, frozen=True):
    """One resource of a node's pods in one hour."""

    requested: int = 0
    """By online pods; what strategy `request` counts."""
    most: int = 0
    """What strategy `maxUsageRequest` counts."""
    exclusive: int = 0
    """By which requests of HLS pods exceed their use: strategy `usage` counts it too."""
    learning: int = 0
    """What strategy `predicted` counts for pods that are not forecast together: the young ones, and HLS."""
    learning_use: int = 0
    """What those use."""
    own_peaks: int = 0
    """What `predicted` counts for all others while there is no forecast."""
    offline: int = 0
    """Use of best-effort pods."""
    joined: int = 0
    """Mean use of the pods that are forecast together from this hour on, less that of those that no longer are."""


class _Hour(Struct, frozen=True):
    pod: PodTrace
    facts: PodFacts
    row: PodUsage
    age: int


def by_hour(node: NodeTrace, hours: int, resource: Resource) -> list[HourSums]:
    """Every hour of the trace."""
    there: list[list[_Hour]] = [[] for _ in range(hours)]
    for pod in node.pods:
        facts = pod.facts(node.name)
        for at, row in _rows(pod, facts.cgroup_uid):
            if 0 <= at < hours:
                there[at].append(_Hour(pod, facts, row, at - pod.first))
    cpu = resource is Resource.CPU
    members: set[str] = set()
    before: dict[str, int] = {}
    sums = []
    for rows in there:
        now = {one.row.uid for one in rows if one.age >= _LEARNT_HOURS[resource] and one.pod.qos is Qos.LS}
        # What the agent knows when the hour begins: use of the hour before.
        joined = sum(before.get(uid, 0) for uid in now - members) - sum(before.get(uid, 0) for uid in members - now)
        sums.append(_sums(rows, resource, joined, now))
        members, before = now, {one.row.uid: _use(one.row, cpu=cpu) for one in rows}
    return sums


def _sums(rows: list[_Hour], resource: Resource, joined: int, together: set[str]) -> HourSums:
    cpu = resource is Resource.CPU
    pods, by_uid = [one.facts for one in rows], {one.row.uid: one.row for one in rows}
    online = [one for one in rows if one.pod.qos is not Qos.BE]
    apart = [one for one in online if one.row.uid not in together]
    used = sum(_use(one.row, cpu=cpu) for one in online)
    usage = add_up_one(pods, by_uid, resource, "usage")
    return HourSums(
        requested=usage.requested,
        most=add_up_one(pods, by_uid, resource, "maxUsageRequest").online,
        exclusive=usage.online - used,
        learning=sum(estimate(one.facts, one.row, resource, "predicted").amount for one in apart),
        learning_use=sum(_use(one.row, cpu=cpu) for one in apart),
        own_peaks=sum(
            estimate(one.facts, one.row, resource, "predicted").amount for one in online if one.row.uid in together
        ),
        offline=sum(_use(one.row, cpu=cpu) for one in rows if one.pod.qos is Qos.BE),
        joined=joined,
    )


def _rows(pod: PodTrace, uid: str) -> Iterator[tuple[int, PodUsage]]:
    """The hours in which it was measured; a metric that is missing beside the other counts as none."""
    for at, (cpu, cpu_peak, memory, memory_peak) in enumerate(
        zip(pod.cpu, pod.cpu_peak, pod.memory, pod.memory_peak, strict=True)
    ):
        if cpu is None and memory is None:
            continue
        yield (
            pod.first + at,
            PodUsage(
                uid=uid, cpu=cpu or 0, cpu_peak=cpu_peak or cpu or 0, memory=memory or 0,
                memory_peak=memory_peak or memory or 0,
            ),
        )  # fmt: skip


def _use(row: PodUsage, *, cpu: bool) -> int:
    return (row.cpu if cpu else row.memory) or 0
