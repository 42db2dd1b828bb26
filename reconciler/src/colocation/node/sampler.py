"""Counters -> rates: one Sample a round. A counter that restarts, or a file that is missing, gives no value."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from typing import Final

from msgspec import Struct

from colocation.model.report import Capacity, Pressure
from colocation.node import memory, pressure
from colocation.node.cgroups import UNLIMITED_V1, Layout, Meters, detect
from colocation.node.files import OpenFile, number
from colocation.node.memory import NOTHING, Memory
from colocation.protect.sample import PodSample, Sample, whole_cpu, whole_memory

log = logging.getLogger(__name__)
MEMORY_EVERY: Final = 5
"""Rounds between two readings of memory: memory.stat costs more than all other files of a group together."""
LOOK_EVERY: Final = 10
"""Rounds between two looks for kubelet's tree while the one that is known holds no pod."""
_MOST_CPUS: Final = 1 << 16
"""More than Linux has; a list that names more is garbage."""


class _Counter(Struct):
    """A CPU counter and when it was read, both in ns."""

    value: int | None = None
    at: int = 0

    def rate(self, value: int | None, at: int) -> float | None:
        """Millicores since the last reading; None unless both readings are there and in order.

        Not rounded: what is added up and subtracted from each other is rounded once, at the end.
        """
        before, since = self.value, self.at
        self.value, self.at = value, at
        if value is None or before is None or value < before or at <= since:
            return None
        return (value - before) * 1000 / (at - since)


class _SampledPod:
    """What is remembered of one pod's group between rounds."""

    __slots__ = ("counter", "group", "meters", "throttled")

    def __init__(self, layout: Layout, group: str) -> None:
        self.group = group
        self.meters = Meters(layout, group)
        self.counter = _Counter()
        self.throttled: int | None = None


class Sampler:
    """Reads the node, kubelet's tree and every pod; keeps one open file per counter."""

    def __init__(
        self, root: str = "/sys/fs/cgroup", proc: str = "/proc", clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._proc, self._clock = proc, clock
        self.layout = detect(root)
        self._node = Meters(self.layout, "")
        self._node_counter = _Counter()
        self._tree = Meters(self.layout, self.layout.pods_root)
        self._tree_counter = _Counter()
        self._pods: dict[str, _SampledPod] = {}
        self._round = 0
        self._last = 0

    def now(self) -> float:
        """The clock that samples are dated by."""
        return self._clock() / 1e9

    @property
    def groups(self) -> dict[str, str]:
        """Group of each pod seen in the last round, by uid."""
        return {uid: pod.group for uid, pod in self._pods.items()}

    def sample(self, watched: Collection[str] = ()) -> Sample:
        """One round. ``watched``: uids whose throttling is read too. The first round has no rates."""
        now = self._clock()
        seconds = (now - self._last) / 1e9 if self._last else 0.0
        self._last = now
        self._round += 1
        with_memory = self._round % MEMORY_EVERY == 2  # the first round only sets the counters
        if not self._list() and self._round % LOOK_EVERY == 0:
            self.look_again()
        meminfo = _read(f"{self._proc}/meminfo") if with_memory else None
        swap = with_memory and memory.has_swap(meminfo)
        # Where swap is not counted by group, what pods have of it is in the node's sum all the same: as system use.
        swap_of_pods = swap and self._tree.swap() is not None
        rows = []
        for uid, pod in list(self._pods.items()):
            value = pod.meters.cpu()
            if value is None and not pod.meters.there():  # gone between the listing and the reading
                self._forget(uid)
                continue
            used_memory = _group(pod.meters, swap=swap_of_pods) if with_memory else NOTHING
            rows.append(
                PodSample(
                    uid=uid,
                    cpu=pod.counter.rate(value, self._clock()),
                    memory=used_memory.use,
                    unavailable=used_memory.unavailable,
                    throttled=uid in watched and self._held_back(pod),
                )
            )
        has_tree = bool(self.layout.pods_root)
        pods_cpu = self._tree_counter.rate(self._tree.cpu(), self._clock()) if has_tree else None
        pods_memory = _group(self._tree, swap=swap_of_pods).use if with_memory and has_tree else None
        node_cpu = self._node_counter.rate(self._node.cpu(), self._clock())
        node = self._node_memory(meminfo, swap=swap) if with_memory else NOTHING
        return Sample(
            at=now / 1e9,
            seconds=seconds,
            cpu=whole_cpu(node_cpu, pods_cpu, rows),
            memory=whole_memory(node.use, pods_memory, rows),
            unavailable=node.unavailable,
            pods_cpu=pods_cpu,
            pods_memory=pods_memory,
            pods=tuple(rows),
            memory_read=with_memory,
        )

    def pressure(self) -> Pressure:
        """PSI "some avg10" of the node in percent. Any thread may ask."""
        return Pressure(**pressure.of_node(self.layout, self._proc))

    def capacity(self) -> Capacity | None:
        """CPUs of the root's cpuset (millicores) and its memory (bytes), until the spec has the Node's capacity."""
        total = memory.line(_read(f"{self._proc}/meminfo"), b"MemTotal:")
        if total is None:
            return None
        limit_dir = self.layout.directory("memory")
        if limit_dir is not None:  # a nested node may have less than the machine
            name = "memory.max" if self.layout.version == 2 else "memory.limit_in_bytes"
            limit = number(_read(f"{limit_dir}/{name}"))
            if limit is not None and limit < UNLIMITED_V1:
                total = min(total, limit)
        return Capacity(cpu=1000 * (self.cpus() or os.cpu_count() or 1), memory=total)

    def cpus(self) -> int | None:
        """CPUs that are online now: some may be unplugged while kubelet still reports the number it started with."""
        directory = self.layout.directory("cpuset")
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            count = count_cpus(_read(f"{directory}/{name}")) if directory else 0
            if count:
                return count
        return None

    def close(self) -> None:
        """Give all descriptors back."""
        for meters in (self._node, self._tree, *(pod.meters for pod in self._pods.values())):
            meters.close()

    def look_again(self, uids: Collection[str] = ()) -> None:
        """Look for kubelet's tree: it may be made after us, or be another one now (a changed cgroup driver).

        ``uids``: pods that should be in it.
        """
        layout = detect(self.layout.root, uids)
        if layout == self.layout:
            return
        self._tree.close()
        self.layout = layout
        self._tree = Meters(layout, layout.pods_root)
        self._tree_counter = _Counter()
        log.warning("kubelet's cgroup tree has changed", extra={"path": layout.pods_root})

    def _list(self) -> bool:
        """Find the pods' groups. False: none, or they cannot be listed; a removed group shows when it is read."""
        listed = self.layout.list_pods()
        if listed is None:
            return False
        for uid in [uid for uid, pod in self._pods.items() if listed.get(uid) != pod.group]:
            self._forget(uid)
        for uid, group in listed.items():
            if uid not in self._pods:
                self._pods[uid] = _SampledPod(self.layout, group)
        return bool(listed)

    def _forget(self, uid: str) -> None:
        self._pods.pop(uid).meters.close()

    def _held_back(self, pod: _SampledPod) -> bool:
        before, pod.throttled = pod.throttled, pod.meters.throttled()
        return before is not None and pod.throttled is not None and pod.throttled > before

    def _node_memory(self, meminfo: bytes | None, *, swap: bool) -> Memory:
        if memory.is_whole_machine(self.layout.version, self.layout.directory("memory")):
            return memory.of_machine(meminfo)
        swapped = self._node.swap() if swap else 0
        return self._node.memory(swap=memory.swapped_out(meminfo) if swapped is None else swapped)


def _group(meters: Meters, *, swap: bool) -> Memory:
    """With ``swap`` what is swapped out is in use as well: it will want to come back."""
    return meters.memory(swap=meters.swap() if swap else 0)


def count_cpus(text: bytes | None) -> int:
    """How many CPUs "0-3,8" names; 0 if it names none or cannot be read."""
    count = 0
    for part in (text or b"").strip().split(b","):
        first, dash, last = part.partition(b"-")
        low = number(first)
        high = number(last) if dash else low
        if low is None or high is None or not low <= high < _MOST_CPUS:
            return 0
        count += high - low + 1
    return min(count, _MOST_CPUS)


def _read(path: str) -> bytes | None:
    file = OpenFile(path)
    try:
        return file.read()
    finally:
        file.close()
