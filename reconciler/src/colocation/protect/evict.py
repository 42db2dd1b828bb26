"""Which best-effort pods should leave, if any, in which order, and when page cache is worth reclaiming first.

Order: lowest priority, then the one that frees most, then the youngest. The manager evicts one pod, then waits until
this node has looked again; it takes the next pod of the list only if the one before cannot be evicted. Nothing is
decided on what was not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct, field

from colocation.model.fit import cut
from colocation.model.quantity import human_bytes, human_millicores
from colocation.model.report import (
    EVICTION_MESSAGE,
    MAX_EVICTION_REQUESTS,
    BePod,
    EvictionReason,
    EvictionRequest,
    NodeColocationSpec,
    Pressure,
)
from colocation.protect.sample import PodSample, Sample
from colocation.protect.wanted import Knobs

RECLAIM_SECONDS: Final = 10.0
"""Seconds for which page cache of best-effort pods is reclaimed before a pod is evicted: two readings of memory."""


class EvictionWatch(Struct, frozen=True):
    """What has lasted, carried from round to round."""

    over_since: float | None = None
    """Memory has been above the high mark, and not back below the low one, since then."""
    starved_since: dict[str, float] = field(default_factory=dict)
    first_seen: dict[str, float] = field(default_factory=dict)
    requests: tuple[EvictionRequest, ...] = ()
    """The pods of which one should leave now, the first choice first."""
    reclaim: str | None = None
    """The pod to take page cache from in this round."""


def watch(
    spec: NodeColocationSpec,
    sample: Sample,
    held: Mapping[str, Knobs],
    pressure: Pressure,
    before: EvictionWatch,
    owned: Collection[str] = (),
) -> EvictionWatch:
    """Look once. ``held``: the values of this round's decision; memory is only judged in rounds that read it.

    ``owned``: "evict.memory", "evict.cpu": what another engine evicts for.
    """
    if not spec.enabled or spec.engine == "none":
        return EvictionWatch()
    rows = {row.uid: row for row in sample.pods}
    pods = [pod for pod in spec.pods if pod.uid in rows]
    seen = {pod.uid: before.first_seen.get(pod.uid, sample.at) for pod in pods}
    starved = {
        pod.uid: before.starved_since.get(pod.uid, sample.at)
        for pod in pods
        if "evict.cpu" not in owned
        and _starves(pod, rows[pod.uid], held.get(pod.uid), spec.evict.cpu.satisfaction_percent)
    }
    first = before.requests[0] if before.requests else None
    of_memory = first is not None and first.reason != "CpuStarved"
    requests: tuple[EvictionRequest, ...] = ()
    reclaim = None
    if not sample.memory_read:
        # What memory asked for stands until memory is read again. A pod of the list that is gone may have been enough.
        over = before.over_since
        if of_memory and "evict.memory" not in owned and {ranked.uid for ranked in before.requests} <= seen.keys():
            requests = before.requests
    else:
        again = before.over_since is not None
        why = None if "evict.memory" in owned else _over(spec, sample, pressure, again=again)
        over = before.over_since if sample.unavailable is None else None
        if why is not None:
            over = sample.at if before.over_since is None else before.over_since
            victims = _for_memory(pods, rows, seen)
            reclaim = victims[0].uid if victims else None
            if sample.at - over >= RECLAIM_SECONDS:
                reason, message = why
                requests = _ask(_in_order(victims, spec, first if of_memory else None), reason, lambda _: message)
    if not requests:
        long = _for_cpu(spec, pods, starved, seen, sample.at)
        order = _in_order(long, spec, None if of_memory else first)
        requests = _ask(order, "CpuStarved", lambda pod: _starved(spec, pod, held))
    return EvictionWatch(over, starved, seen, requests, reclaim)


def _in_order(pods: list[BePod], spec: NodeColocationSpec, first: EvictionRequest | None) -> list[BePod]:
    """The pods that cannot be evicted now go last; the first choice stays the first until it is gone."""
    refused = {ranked.uid for ranked in spec.eviction_refusals}
    return sorted(pods, key=lambda pod: (pod.uid in refused, first is None or pod.uid != first.uid))


def _over(
    spec: NodeColocationSpec, sample: Sample, pressure: Pressure, *, again: bool
) -> tuple[EvictionReason, str] | None:
    """(reason, in words) while memory is above its mark: the high one at first, then the low one."""
    if sample.unavailable is None or spec.capacity is None or not spec.capacity.memory:
        return None
    rules, whole, in_use = spec.evict.memory, spec.capacity.memory, sample.unavailable.amount
    result = f"memory in use is {human_bytes(in_use)} of {human_bytes(whole)}"
    if rules.pressure_percent and (pressure.memory or 0.0) >= rules.pressure_percent:
        message = f"memory pressure is {pressure.memory:.0f} %, the mark {rules.pressure_percent} %; {result}"
        return "MemoryPressure", message
    mark = rules.low_percent if again else rules.high_percent
    if in_use < whole * mark // 100:
        return None
    return "MemoryHigh", f"{result}; above {rules.high_percent} % pods leave until it is below {rules.low_percent} %"


def _for_memory(pods: list[BePod], rows: Mapping[str, PodSample], seen: Mapping[str, float]) -> list[BePod]:
    """Who frees memory, in the order in which they should leave. Page cache frees nothing: it is available already."""
    known = [(pod, held.amount) for pod in pods if (held := rows[pod.uid].unavailable) is not None and held.amount]
    known.sort(key=lambda ranked: (ranked[0].priority, -ranked[1], -seen[ranked[0].uid], ranked[0].uid))
    return [pod for pod, _ in known]


def _starves(pod: BePod, row: PodSample, held: Knobs | None, percent: int) -> bool:
    """Held back, at less than the given part of what it asked for."""
    if held is None or held.cpu is None or not row.throttled:
        return False
    return held.cpu * 100 < pod.cpu_request * percent


def _for_cpu(
    spec: NodeColocationSpec, pods: list[BePod], starved: Mapping[str, float], seen: Mapping[str, float], now: float
) -> list[BePod]:
    """The pods that have starved for long, in the order in which they should leave."""
    seconds = spec.evict.cpu.starved_seconds
    long = [pod for pod in pods if pod.uid in starved and now - starved[pod.uid] >= seconds]
    return sorted(long, key=lambda pod: (pod.priority, -pod.cpu_request, -seen[pod.uid], pod.uid))


def _starved(spec: NodeColocationSpec, pod: BePod, held: Mapping[str, Knobs]) -> str:
    quota, seconds = held[pod.uid].cpu or 0, spec.evict.cpu.starved_seconds
    return f"for {seconds} s it was held to {human_millicores(quota)} of {human_millicores(pod.cpu_request)} asked for"


def _ask(pods: list[BePod], reason: EvictionReason, message_of: Callable[[BePod], str]) -> tuple[EvictionRequest, ...]:
    return tuple(
        EvictionRequest(uid=pod.uid, reason=reason, message=cut(message_of(pod), EVICTION_MESSAGE))
        for pod in pods[:MAX_EVICTION_REQUESTS]
    )
