"""Mean and peak over the last seconds, for the node, its system part and each pod."""

from __future__ import annotations

from collections import deque
from typing import Final

from colocation.model.report import PodUsage, Usage
from colocation.protect.sample import Sample, Unavailable, Use, up

SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 15.0
"""A pod whose first readings are still incomplete is not reported before: the manager counts it as unseen, with its
request. A metric that is missing after that is reported as missing."""


class Series:
    """Values of one metric, each weighted with the seconds it stands for."""

    __slots__ = ("_rows", "_seconds", "_sum")

    def __init__(self) -> None:
        self._rows: deque[tuple[float, float, float]] = deque()
        self._sum = self._seconds = 0.0

    def add(self, at: float, seconds: float, value: float | None, window: float) -> None:
        """Take one value (None: a gap, nothing) and let go of those older than ``window`` seconds."""
        rows = self._rows
        while rows and rows[0][0] <= at - window:
            _, old_seconds, old = rows.popleft()
            self._sum -= old * old_seconds
            self._seconds -= old_seconds
        if not rows:
            self._sum = self._seconds = 0.0  # no drift survives an empty window
        if value is not None and seconds > 0:
            rows.append((at, seconds, value))
            self._sum += value * seconds
            self._seconds += seconds

    @property
    def mean(self) -> int | None:
        """Rounded up (against the offline side); None if nothing was measured in the window."""
        return max(0, up(self._sum / self._seconds)) if self._rows else None

    @property
    def peak(self) -> int | None:
        """The largest value in the window, rounded up; None if there is none."""
        return up(max(row[2] for row in self._rows)) if self._rows else None


class Meter:
    """CPU and memory of one thing."""

    __slots__ = ("cpu", "memory", "since")

    def __init__(self, since: float = 0.0) -> None:
        self.cpu, self.memory, self.since = Series(), Series(), since

    def usage(self) -> Usage:
        """What the window says."""
        return Usage(cpu=self.cpu.mean, cpu_peak=self.cpu.peak, memory=self.memory.mean, memory_peak=self.memory.peak)


class Window:
    """The window of one node."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.node, self.system = Meter(), Meter()
        self.unavailable: Unavailable | None = None
        """Memory in use for eviction, as last read: evictions are decided by the moment, not by a mean."""
        self.pods: dict[str, Meter] = {}
        self._began: float | None = None
        self._at = 0.0
        self._memory_at: float | None = None

    @property
    def covered(self) -> float:
        """Seconds the window covers so far."""
        return 0.0 if self._began is None else min(self.seconds, self._at - self._began)

    def add(self, sample: Sample) -> None:
        """Take one round."""
        self._at = sample.at
        if self._began is None:
            self._began = sample.at
        pods_cpu = sample.pods_cpu if sample.pods_cpu is not None else _sum([row.cpu for row in sample.pods])
        self._cpu(self.node, sample, sample.cpu)
        self._cpu(self.system, sample, _rest(sample.cpu, pods_cpu))
        for uid in self.pods.keys() - {row.uid for row in sample.pods}:
            del self.pods[uid]
        for row in sample.pods:
            meter = self.pods.get(row.uid)
            if meter is None:
                meter = self.pods[row.uid] = Meter(sample.at)
            self._cpu(meter, sample, row.cpu)
        if sample.memory_read:
            self._memory(sample)

    def rows(self) -> tuple[PodUsage, ...]:
        """One row a pod, by uid; a pod that has just come has none before it was measured whole."""
        return tuple(
            PodUsage(
                uid=uid,
                cpu=meter.cpu.mean,
                cpu_peak=meter.cpu.peak,
                memory=meter.memory.mean,
                memory_peak=meter.memory.peak,
            )
            for uid, meter in sorted(self.pods.items())
            if self._at - meter.since >= SETTLE_SECONDS
            or (meter.cpu.mean is not None and meter.memory.mean is not None)
        )

    def _cpu(self, meter: Meter, sample: Sample, value: float | None) -> None:
        meter.cpu.add(sample.at, sample.seconds, value, self.seconds)

    def _memory(self, sample: Sample) -> None:
        """Only `Use` comes here: what is taken from the whole must be measured as the whole is."""
        seconds = 1.0 if self._memory_at is None else sample.at - self._memory_at
        self._memory_at = sample.at
        self.unavailable = sample.unavailable
        rows = [row.memory for row in sample.pods]
        pods = sample.pods_memory if sample.pods_memory is not None else _sum_use(rows)
        rest = None if sample.memory is None or pods is None else sample.memory.less(pods)
        for meter, use in (
            (self.node, sample.memory),
            (self.system, rest),
            *((self.pods[row.uid], row.memory) for row in sample.pods),
        ):
            meter.memory.add(sample.at, seconds, None if use is None else use.amount, self.seconds)


def _rest(whole: float | None, part: float | None) -> float | None:
    """``whole - part``, never negative; not known unless both are."""
    return None if whole is None or part is None else max(0, whole - part)


def _sum(values: list[float | None]) -> float | None:
    """None as soon as one part is missing: what is not known of a pod would count as system use."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _sum_use(values: list[Use | None]) -> Use | None:
    """The same of memory."""
    amount = _sum([None if value is None else value.amount for value in values])
    return None if amount is None else Use(int(amount))
