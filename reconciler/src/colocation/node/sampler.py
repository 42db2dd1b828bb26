"""Counters -> rates: one Sample a round. A counter that restarts, or a file that is missing, gives no value."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from msgspec import Struct

from colocation.model.report import Capacity, Pressure
from colocation.node import pressure
from colocation.node.cgroups import UNLIMITED_V1, File, Layout, Meters, detect, number
from colocation.protect.sample import PodSample, Sample

MEMORY_EVERY: Final = 5
"""Rounds between two readings of memory: memory.stat costs more than all other files of a group together."""
_MOST_CPUS: Final = 1 << 16
"""More than Linux has; a list that names more is garbage."""


class _Counter(Struct):
    """A CPU counter and when it was read, both in ns."""

    value: int | None = None
    at: int = 0

    def rate(self, value: int | None, at: int) -> int | None:
        """Millicores since the last reading; None unless both readings are there and in order."""
        before, since = self.value, self.at
        self.value, self.at = value, at
        if value is None or before is None or value < before or at <= since:
            return None
        return (value - before) * 1000 // (at - since)


class _Pod:
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
        # The real root of v2 has no memory.current. (A nested machine's has; there /proc/meminfo is the host's.)
        self._whole_machine = self.layout.version == 2 and not Path(root, "memory.current").exists()
        self._node_counter = _Counter()
        self._tree = Meters(self.layout, self.layout.pods_root)
        self._tree_counter = _Counter()
        self._pods: dict[str, _Pod] = {}
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
        if not self._list() and self._round % 10 == 0:
            self._look_again()
        meminfo = _read(f"{self._proc}/meminfo") if with_memory else None
        swap = with_memory and _swap_total(meminfo) != 0
        # Where swap is not counted by group, what pods have of it is in the node's sum all the same: as system use.
        swap_of_pods = swap and self._tree.swap() is not None
        rows = []
        for uid, pod in list(self._pods.items()):
            value = pod.meters.cpu()
            if value is None and not pod.meters.there():  # gone between the listing and the reading
                self._forget(uid)
                continue
            rows.append(
                PodSample(
                    uid=uid,
                    cpu=pod.counter.rate(value, self._clock()),
                    memory=_memory(pod.meters, swap=swap_of_pods) if with_memory else None,
                    throttled=uid in watched and self._held_back(pod),
                )
            )
        has_tree = bool(self.layout.pods_root)
        return Sample(
            at=now / 1e9,
            seconds=seconds,
            cpu=self._node_counter.rate(self._node.cpu(), self._clock()),
            memory=self._node_memory(meminfo, swap=swap) if with_memory else None,
            pods_cpu=self._tree_counter.rate(self._tree.cpu(), self._clock()) if has_tree else None,
            pods_memory=_memory(self._tree, swap=swap_of_pods) if with_memory and has_tree else None,
            pods=tuple(rows),
            memory_read=with_memory,
        )

    def pressure(self) -> Pressure:
        """PSI "some avg10" of the node in percent. Any thread may ask."""
        return Pressure(**pressure.of_node(self.layout, self._proc))

    def capacity(self) -> Capacity | None:
        """CPUs of the root's cpuset (millicores) and its memory (bytes), for as long as nobody told us better."""
        memory = _meminfo(_read(f"{self._proc}/meminfo"), b"MemTotal:")
        if memory is None:
            return None
        limit_dir = self.layout.directory("memory")
        if limit_dir is not None:  # a nested node may have less than the machine
            name = "memory.max" if self.layout.version == 2 else "memory.limit_in_bytes"
            limit = number(_read(f"{limit_dir}/{name}"))
            if limit is not None and limit < UNLIMITED_V1:
                memory = min(memory, limit)
        return Capacity(cpu=1000 * (self.cpus() or os.cpu_count() or 1), memory=memory)

    def cpus(self) -> int | None:
        """CPUs that are there now: they may be unplugged while kubelet still tells the number it started with."""
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

    def _list(self) -> bool:
        """Take up the pods there are. False: nothing can be said of that; those that are gone show when read."""
        listed = self.layout.list_pods()
        if listed is None:
            return False
        for uid in [uid for uid, pod in self._pods.items() if listed.get(uid) != pod.group]:
            self._forget(uid)
        for uid, group in listed.items():
            if uid not in self._pods:
                self._pods[uid] = _Pod(self.layout, group)
        return True

    def _forget(self, uid: str) -> None:
        self._pods.pop(uid).meters.close()

    def _held_back(self, pod: _Pod) -> bool:
        before, pod.throttled = pod.throttled, pod.meters.throttled()
        return before is not None and pod.throttled is not None and pod.throttled > before

    def _look_again(self) -> None:
        """Kubelet may make its tree after us, or another one (a changed cgroup driver)."""
        self._tree.close()
        self.layout = detect(self.layout.root)
        self._tree = Meters(self.layout, self.layout.pods_root)
        self._tree_counter = _Counter()

    def _node_memory(self, meminfo: bytes | None, *, swap: bool) -> int | None:
        used = self._node.memory()
        if used is None and self._whole_machine:
            used = _less(_meminfo(meminfo, b"MemTotal:"), _meminfo(meminfo, b"MemAvailable:"))
        if not swap:
            return used
        swapped = self._node.swap()
        if swapped is None:
            swapped = _less(_meminfo(meminfo, b"SwapTotal:"), _meminfo(meminfo, b"SwapFree:"))
        return None if used is None or swapped is None else used + swapped


def _memory(meters: Meters, *, swap: bool) -> int | None:
    """Working set and, with ``swap``, what is swapped out: it is in use as much, and will want to come back."""
    used = meters.memory()
    swapped = meters.swap() if swap else 0
    return None if used is None or swapped is None else used + swapped


def _swap_total(meminfo: bytes | None) -> int | None:
    """Bytes of swap the machine has; None if that cannot be read, so that it is not taken for 0."""
    return None if meminfo is None else _meminfo(meminfo, b"SwapTotal:") or 0


def _less(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else max(0, whole - part)


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


def _meminfo(text: bytes | None, key: bytes) -> int | None:
    """A line of /proc/meminfo in bytes."""
    for line in (text or b"").split(b"\n"):
        if line.startswith(key):
            value = number(line[len(key) :].replace(b" kB", b""))
            return None if value is None or value >= 1 << 53 else value * 1024
    return None


def _read(path: str) -> bytes | None:
    file = File(path)
    try:
        return file.read()
    finally:
        file.close()
