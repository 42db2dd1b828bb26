"""What was measured in one round. CPU in millicores, memory in bytes; what could not be read is None, never 0.

Memory has two quantities, each a type of its own, so that neither can be compared with, or taken from, the other:
`Use` is what the budget adds up, `Unavailable` is what evictions are decided by.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct


class Use(Struct, frozen=True, order=True, gc=False):
    """Memory use for the budget: all but free memory and page cache that is inactive, and what is swapped out.

    One formula for the node and for its parts, on cgroup v1 and v2, so that their difference is what the rest uses.
    """

    amount: int

    def less(self, part: Use) -> Use:
        """What the rest uses; never negative."""
        return Use(max(0, self.amount - part.amount))


class Unavailable(Struct, frozen=True, order=True, gc=False):
    """Memory in use for eviction: what cannot be given to another program without swapping or killing.

    Of the machine MemTotal - MemAvailable; of a group its use without page cache and reclaimable kernel memory.
    """

    amount: int


class PodSample(Struct, frozen=True, gc=False):
    """One pod cgroup between two readings. In rounds that do not read memory both quantities are None."""

    uid: str
    cpu: float | None = None
    memory: Use | None = None
    unavailable: Unavailable | None = None
    throttled: bool = False
    """Its quota held it back since the reading before."""


class Sample(Struct, frozen=True):
    """The node between two readings. ``cpu`` and ``memory``: the whole machine; ``pods_*``: kubelet's tree."""

    at: float
    """Seconds on a monotonic clock."""
    seconds: float
    """Since the reading before."""
    cpu: float | None = None
    memory: Use | None = None
    unavailable: Unavailable | None = None
    pods_cpu: float | None = None
    pods_memory: Use | None = None
    pods: tuple[PodSample, ...] = ()
    memory_read: bool = False
    """Memory was read in this round (it is dearer to read, and moves more slowly)."""


def whole_cpu(own: float | None, tree: float | None, pods: Iterable[PodSample]) -> float | None:
    """CPU use of the node: its own reading, or what pods use where that is more.

    The files are read one after the other, so the values may not fit together; the larger leaves less to offline work.
    """
    return None if own is None else max(own, tree or 0, sum(pod.cpu or 0 for pod in pods))


def whole_memory(own: Use | None, tree: Use | None, pods: Iterable[PodSample]) -> Use | None:
    """The same for memory."""
    if own is None:
        return None
    return max(own, tree or Use(0), Use(sum(pod.memory.amount for pod in pods if pod.memory is not None)))


def up(value: float) -> int:
    """Whole millicores or bytes: rounded up, against the offline side, but not for what floats cannot tell apart."""
    return math.ceil(round(value, 3))
