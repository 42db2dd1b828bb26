"""What was measured in one round. CPU in millicores, memory in bytes; what could not be read is None, never 0."""

from __future__ import annotations

from msgspec import Struct


class PodSample(Struct, frozen=True, gc=False):
    """One pod cgroup between two readings."""

    uid: str
    cpu: int | None = None
    memory: int | None = None
    """Working set; None in the rounds in which memory was not read."""
    throttled: bool = False
    """Its quota held it back since the reading before."""


class Sample(Struct, frozen=True):
    """The node between two readings. ``cpu`` and ``memory``: the whole machine; ``pods_*``: kubelet's tree."""

    at: float
    """Seconds on a monotonic clock."""
    seconds: float
    """Since the reading before."""
    cpu: int | None = None
    memory: int | None = None
    pods_cpu: int | None = None
    pods_memory: int | None = None
    pods: tuple[PodSample, ...] = ()
    memory_read: bool = False
    """Memory was read in this round (it is dearer to read, and moves more slowly)."""
