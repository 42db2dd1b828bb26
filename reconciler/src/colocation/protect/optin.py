"""What a policy's `protect` asks for beside quotas and limits: every row of it is off unless it is given.

Nothing here is decided on a measurement, so nothing moves from round to round but with the policy or the pods.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct, field

from colocation.model.policy import Disk, Protect
from colocation.model.report import BePod, OnlinePod

LEAST_HIGH: Final = 16 << 20
"""Bytes: a pod that is made to give memory back below this does nothing else."""
LEAST_BYTES, LEAST_OPS = 1 << 20, 10
"""A second. The CRD refuses less too; an object that was stored before it did is not to stop a pod."""


class Extra(Struct, frozen=True, gc=False):
    """What one pod's group should have beside quota and limit; None or 0: as it was before us."""

    memory_high: int | None = None
    """Bytes above which the kernel takes memory back."""
    memory_low: int | None = None
    """Bytes that are kept for it while others are reclaimed."""
    burst_percent: int = 0
    """Percent of each quota in the pod (the pod's own, its containers'), accumulated for a burst."""
    disk: Disk | None = None


class Cache(Struct, frozen=True):
    """The share of last-level cache and memory bandwidth that best-effort tasks have together, in percent; 0: all."""

    l3_percent: int
    memory_bandwidth_percent: int


class OptIn(Struct, frozen=True):
    """One round's decision on all that is opt-in."""

    offline: Mapping[str, Extra] = field(default_factory=dict)
    online: Mapping[str, Extra] = field(default_factory=dict)
    cache: Cache | None = None
    lacks: tuple[str, ...] = ()
    """Messages about features that the policy asks for and this node lacks."""


def opt_in(
    protect: Protect,
    offline: Collection[BePod],
    online: Collection[OnlinePod],
    features: Collection[str],
    owned: Collection[str] = (),
) -> OptIn:
    """Decide. Pods that are not here are the caller's to leave out; ``features``: what this node's kernel can do.

    ``owned``: those of them that another engine holds.
    """
    if protect == Protect():
        return OptIn()
    lacks = []

    def has(wanted: object, option: str, feature: str) -> bool:
        if not wanted or feature in owned:
            return False
        if feature not in features:
            lacks.append(f"protect.{option}: no {feature} here")
        return feature in features

    high = has(protect.memory_high_percent, "memoryHighPercent", "memory.high")
    low = has(protect.memory_low_percent, "memoryLowPercent", "memory.low")
    burst = has(protect.burst_percent, "burstPercent", "cpu.burst")
    disk = protect.disk
    weight = has(disk.weight, "disk.weight", "io.weight")
    bounds = any(
        (disk.read_bytes_per_second, disk.write_bytes_per_second, disk.read_ops_per_second, disk.write_ops_per_second)
    )
    throttle = has(bounds, "disk", "io.throttle")
    held = _disk(disk, weight=weight, throttle=throttle)
    asked = protect.resctrl
    ways = has(asked.l3_percent, "resctrl.l3Percent", "resctrl")
    bandwidth = has(asked.memory_bandwidth_percent, "resctrl.memoryBandwidthPercent", "resctrl.bandwidth")
    cache = Cache(asked.l3_percent if ways else 0, asked.memory_bandwidth_percent if bandwidth else 0)
    return OptIn(
        offline={pod.uid: Extra(memory_high=_high(pod, protect) if high else None, disk=held) for pod in offline}
        if high or held
        else {},
        online={
            pod.uid: Extra(
                memory_low=(pod.memory_request * protect.memory_low_percent // 100 or None) if low else None,
                burst_percent=protect.burst_percent if burst else 0,
            )
            for pod in online
        }
        if low or burst
        else {},
        cache=cache if ways or bandwidth else None,
        lacks=tuple(lacks),
    )


def _high(pod: BePod, protect: Protect) -> int | None:
    """A part of the be-memory limit; a pod without a limit, or with a tiny one, is left alone."""
    if pod.memory_limit is None or pod.memory_limit <= LEAST_HIGH:
        return None
    return max(LEAST_HIGH, pod.memory_limit * protect.memory_high_percent // 100)


def _disk(disk: Disk, *, weight: bool, throttle: bool) -> Disk | None:
    if not weight and not throttle:
        return None
    return Disk(
        weight=disk.weight if weight else 0,
        read_bytes_per_second=_at_least(LEAST_BYTES, disk.read_bytes_per_second) if throttle else 0,
        write_bytes_per_second=_at_least(LEAST_BYTES, disk.write_bytes_per_second) if throttle else 0,
        read_ops_per_second=_at_least(LEAST_OPS, disk.read_ops_per_second) if throttle else 0,
        write_ops_per_second=_at_least(LEAST_OPS, disk.write_ops_per_second) if throttle else 0,
    )


def _at_least(least: int, value: int) -> int:
    return max(least, value) if value else 0
