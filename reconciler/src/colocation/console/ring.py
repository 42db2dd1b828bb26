"""What the console remembers by itself: the cluster each minute for a day, each node each five minutes for six hours.

In memory only. A node's amounts are kept as parts of its capacity in two bytes each, all nodes in one block: 10,000
nodes take 20 MB.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Final

from colocation.console import problems
from colocation.console.model import Gained, NodeRow
from colocation.console.snapshot import Seen

CLUSTER_STEP: Final = 60
CLUSTER_STEPS: Final = 24 * 60
NODE_STEP: Final = 300
NODE_STEPS: Final = 6 * 12
CLUSTER_KEYS: Final = (
    "cpu.capacity", "cpu.requested", "cpu.used", "cpu.published", "cpu.allocated", "cpu.be_used",
    "memory.capacity", "memory.requested", "memory.used", "memory.published", "memory.allocated", "memory.be_used",
    "labelled", "open", "withdrawn", "be_pods", "eviction_requests",
)  # fmt: skip
_CPU: Final[dict[str, Callable[[NodeRow], float | None]]] = {
    "cpu.requested": lambda row: row.cpu.online_requested,
    "cpu.used": lambda row: row.cpu.used,
    "cpu.published": lambda row: row.cpu.published,
    "cpu.allocated": lambda row: row.cpu.allocated,
    "cpu.be_used": lambda row: row.cpu.used_by_be,
    "cpu.quota": lambda row: row.cpu_quota,
}
_MEMORY: Final[dict[str, Callable[[NodeRow], float | None]]] = {
    "memory.requested": lambda row: row.memory.online_requested,
    "memory.used": lambda row: row.memory.used,
    "memory.published": lambda row: row.memory.published,
    "memory.allocated": lambda row: row.memory.allocated,
    "memory.be_used": lambda row: row.memory.used_by_be,
}
_PLAIN: Final[dict[str, Callable[[NodeRow], float | None]]] = {
    "pressure.cpu": lambda row: None if row.pressure_cpu is None else row.pressure_cpu * 100,
    "pressure.memory": lambda row: None if row.pressure_memory is None else row.pressure_memory * 100,
    "be_pods": lambda row: row.be_pods,
    "throttled": lambda row: row.throttled_pods,
}
NODE_KEYS: Final = (*_CPU, *_MEMORY, *_PLAIN)
_WIDTH: Final = len(NODE_KEYS)
_NONE: Final = 2**16 - 1
_WHOLE: Final = 2**15
"""The capacity in a node's two bytes: a part may be up to twice of it."""
_SLOTS: Final = 256
"""Nodes that place is made for at a time."""


class Ring:
    """Fed by the snapshot's thread; any thread may look."""

    def __init__(self, started: float) -> None:
        self._lock = threading.Lock()
        self.since = started
        self._cluster = {key: array("d", [math.nan]) * CLUSTER_STEPS for key in CLUSTER_KEYS}
        self._cluster_at = array("q", [-1]) * CLUSTER_STEPS
        self._nodes = array("H")
        self._nodes_at = array("q", [-1]) * NODE_STEPS
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._capacity: dict[str, tuple[int, int]] = {}

    def take(self, seen: Seen) -> None:
        """Remember a report: the first one of each minute, and of each five minutes."""
        minute, five = int(seen.at // CLUSTER_STEP), int(seen.at // NODE_STEP)
        if self._cluster_at[minute % CLUSTER_STEPS] != minute:
            self._take_cluster(seen, minute)
        if self._nodes_at[five % NODE_STEPS] != five:
            self._take_nodes(seen, five)

    def cluster(self, keys: Sequence[str], start: float, end: float) -> tuple[list[int], list[list[float | None]]]:
        """Times, and the values of each key; gaps are None."""
        first = max(int(start // CLUSTER_STEP), int(end // CLUSTER_STEP) - CLUSTER_STEPS + 1)
        steps = range(first, int(end // CLUSTER_STEP) + 1)
        with self._lock:
            known = [step if self._cluster_at[step % CLUSTER_STEPS] == step else -1 for step in steps]
            lines = [
                [_known(self._cluster[key][step % CLUSTER_STEPS]) if step >= 0 else None for step in known]
                for key in keys
            ]
        return [step * CLUSTER_STEP for step in steps], lines

    def node(
        self, name: str, keys: Sequence[str], start: float, end: float
    ) -> tuple[list[int], list[list[float | None]]]:
        """The same of one node; KeyError for one that was not seen in that time."""
        first = max(int(start // NODE_STEP), int(end // NODE_STEP) - NODE_STEPS + 1)
        steps = range(first, int(end // NODE_STEP) + 1)
        places = [NODE_KEYS.index(key) for key in keys]
        with self._lock:
            slot, (cpu, memory) = self._slots[name], self._capacity[name]
            lines = []
            for key, place in zip(keys, places, strict=True):
                scale = cpu / _WHOLE if key in _CPU else memory / _WHOLE if key in _MEMORY else 1.0
                line: list[float | None] = []
                for step in steps:
                    at = step % NODE_STEPS
                    raw = (
                        self._nodes[(slot * NODE_STEPS + at) * _WIDTH + place] if self._nodes_at[at] == step else _NONE
                    )
                    line.append(None if raw == _NONE else raw * scale)
                lines.append(line)
        return [step * NODE_STEP for step in steps], lines

    def capacity(self, name: str) -> tuple[int, int]:
        """Of a node; KeyError."""
        return self._capacity[name]

    def gained(self) -> Gained | None:
        """Core hours that best-effort pods used, as long as is remembered; None: nothing is yet."""
        with self._lock:
            pairs = [
                (at, value)
                for at, value in zip(self._cluster_at, self._cluster["cpu.be_used"], strict=True)
                if at >= 0 and not math.isnan(value)
            ]
        if not pairs:
            return None
        hours = sum(value for _, value in pairs) / 1000 * CLUSTER_STEP / 3600
        since = max(self.since, min(at for at, _ in pairs) * CLUSTER_STEP)
        return Gained(since=problems.rfc3339(since), core_hours=round(hours, 2))

    def _take_cluster(self, seen: Seen, minute: int) -> None:
        values: dict[str, float | None] = {}
        for name, one in (("cpu", seen.cpu), ("memory", seen.memory)):
            values |= {
                f"{name}.capacity": one.capacity,
                f"{name}.requested": one.online_requested,
                f"{name}.used": one.used,
                f"{name}.published": one.published,
                f"{name}.allocated": one.allocated,
                f"{name}.be_used": one.used_by_be,
            }
        counts = seen.counts
        values |= {"labelled": counts.labelled, "open": counts.open, "withdrawn": counts.withdrawn}
        values |= {"be_pods": counts.be_pods, "eviction_requests": sum(row.eviction_requests for row in seen.rows)}
        at = minute % CLUSTER_STEPS
        with self._lock:
            for key, line in self._cluster.items():
                value = values[key]
                line[at] = math.nan if value is None else value
            self._cluster_at[at] = minute

    def _take_nodes(self, seen: Seen, five: int) -> None:
        at = five % NODE_STEPS
        for name in [name for name in self._slots if name not in seen.by_name]:
            with self._lock:
                self._free.append(self._slots.pop(name))
                del self._capacity[name]
        for row in seen.rows:
            values = _packed(row)
            with self._lock:  # for each node again: a reader does not wait for all of them
                begin = (self._slot(row) * NODE_STEPS + at) * _WIDTH
                self._nodes[begin : begin + _WIDTH] = values
        with self._lock:
            self._nodes_at[at] = five

    def _slot(self, row: NodeRow) -> int:
        self._capacity[row.node] = row.cpu.capacity, row.memory.capacity
        slot = self._slots.get(row.node)
        if slot is not None:
            return slot
        if not self._free:
            known = len(self._nodes) // (NODE_STEPS * _WIDTH)
            self._nodes.extend(array("H", [_NONE]) * (_SLOTS * NODE_STEPS * _WIDTH))
            self._free = list(range(known + _SLOTS - 1, known - 1, -1))
        slot = self._slots[row.node] = self._free.pop()
        begin = slot * NODE_STEPS * _WIDTH
        self._nodes[begin : begin + NODE_STEPS * _WIDTH] = array("H", [_NONE]) * (NODE_STEPS * _WIDTH)
        return slot


def _packed(row: NodeRow) -> array[int]:
    found = array("H")
    for capacity, group in ((row.cpu.capacity, _CPU), (row.memory.capacity, _MEMORY), (_WHOLE, _PLAIN)):
        for ask in group.values():
            value = ask(row)
            part = None if value is None or capacity <= 0 else value * _WHOLE / capacity
            found.append(_NONE if part is None else max(0, min(_NONE - 1, round(part))))
    return found


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
