"""Each pod's history, and the peak it forecasts: percentile x (1 + margin), or its part of all pods' common peak."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Final

from msgspec import Struct, structs

from colocation.model.report import MAX_PODS, Forecasts, PodUsage, Prediction, Scores
from colocation.predict.histogram import CPU, MEMORY, Histogram, StoredHistogram
from colocation.predict.together import NOTHING, KeptTogether, Together, Wanted

EVERY_SECONDS: Final = 60.0
"""One value a minute: CPU the minute's mean (a second's burst is the engine's to answer, and bursts of many pods do not
coincide), memory the minute's peak (it cannot be throttled)."""
FORGET_SECONDS: Final = 600.0
"""Seconds after which a pod that is gone is forgotten; one round without any reading loses no history."""
CPU_PERCENT: Final = 95.0
MEMORY_PERCENT: Final = 98.0
MARGIN_PERCENT: Final = 10


class KeptPod(Struct, frozen=True, array_like=True):
    """One pod as written to disk."""

    uid: str
    cpu: StoredHistogram
    memory: StoredHistogram
    member: tuple[bool, bool] = (False, False)
    """State of the pods forecast together, for cpu and for memory."""


class Checkpoint(Struct, frozen=True):
    """All that is known, as it is written to disk."""

    version: int
    pods: tuple[KeptPod, ...]
    cpu: KeptTogether | None = None
    memory: KeptTogether | None = None


VERSION: Final = 1


def with_margin(amount: int, percent: int = MARGIN_PERCENT) -> int:
    """Rounded up: against the offline side."""
    return -(-amount * (100 + percent) // 100)


class PodHistory:
    """One pod's two histograms."""

    __slots__ = ("cpu", "memory", "prediction", "seen")

    def __init__(self, seen: float) -> None:
        self.cpu, self.memory = Histogram(CPU), Histogram(MEMORY)
        self.seen = seen
        self.prediction: Prediction | None = None

    def predict(self) -> None:
        """Compute the prediction again; none while CPU or memory was never measured."""
        cpu, memory = self.cpu.percentile(CPU_PERCENT), self.memory.percentile(MEMORY_PERCENT)
        if cpu is not None and memory is not None:
            observed_seconds = math.floor(min(self.cpu.seconds, self.memory.seconds))
            self.prediction = Prediction(with_margin(cpu), with_margin(memory), observed_seconds)


class Histories:
    """The pods of one node: at most MAX_PODS, finished ones are dropped first. Times on the caller's clock."""

    def __init__(self) -> None:
        self.pods: dict[str, PodHistory] = {}
        self.cpu, self.memory = Together(), Together()
        self._learnt: float | None = None

    def due(self, now: float) -> bool:
        """A minute has passed since the last lesson (the first call begins the first minute)."""
        if self._learnt is None:
            self._learnt = now
        return now - self._learnt >= EVERY_SECONDS

    def learn(
        self,
        now: float,
        rows: Iterable[PodUsage],
        present: Collection[str],
        *,
        offline: Collection[str] = (),
        cpu: Wanted = NOTHING,
        memory: Wanted = NOTHING,
    ) -> None:
        """Take the last minute. ``present``: pods that are there, measured or not; ``offline``: those that are BE."""
        rows = tuple(rows)
        seconds = EVERY_SECONDS if self._learnt is None else min(EVERY_SECONDS, now - self._learnt)
        self._learnt = now
        for uid in present:
            if uid in self.pods:
                self.pods[uid].seen = now
        for uid in [uid for uid, pod in self.pods.items() if now - pod.seen > FORGET_SECONDS]:
            del self.pods[uid]
        for row in rows:
            pod = self.pods.get(row.uid) or self._new(row.uid, now)
            if pod is None:
                continue
            if row.cpu is not None:
                pod.cpu.add(now, row.cpu, seconds)
            if row.memory_peak is not None:
                pod.memory.add(now, row.memory_peak, seconds)
            pod.predict()
        self._forecast_together([row for row in rows if row.uid not in offline], cpu, memory)

    @property
    def forecasts(self) -> Forecasts | None:
        """What is forecast for all online pods together."""
        forecasts = Forecasts(cpu=self.cpu.current, memory=self.memory.current)
        return None if forecasts == Forecasts() else forecasts

    @property
    def scores(self) -> Scores | None:
        """How far the forecasts were off: the fleet learns from it."""
        found = Scores(cpu=self.cpu.scores, memory=self.memory.scores)
        return None if found == Scores() else found

    def with_prediction(self, row: PodUsage) -> PodUsage:
        """The row with its prediction instead of the window's peaks."""
        pod = self.pods.get(row.uid)
        if pod is None or pod.prediction is None:
            return row
        return structs.replace(row, cpu_peak=None, memory_peak=None, predicted=pod.prediction)

    def keep(self, now: float) -> Checkpoint:
        """For the disk."""
        pods = tuple(
            KeptPod(uid, pod.cpu.keep(now), pod.memory.keep(now), (uid in self.cpu.members, uid in self.memory.members))
            for uid, pod in self.pods.items()
        )
        return Checkpoint(VERSION, pods, self.cpu.keep(), self.memory.keep())

    def restore(self, kept: Checkpoint, now: float, away: float) -> None:
        """Continue from a state saved ``away`` seconds ago. Raises ValueError for garbage, and then changes nothing."""
        if kept.version != VERSION or len(kept.pods) > MAX_PODS:
            raise ValueError("not a checkpoint of this version")
        pods = {}
        for row in kept.pods:
            pod = pods[row.uid] = PodHistory(now)
            pod.cpu = Histogram.restore(CPU, row.cpu, now - away)
            pod.memory = Histogram.restore(MEMORY, row.memory, now - away)
            pod.predict()
        cpu, memory = Together(), Together()
        for restored, whole, at in ((cpu, kept.cpu, 0), (memory, kept.memory, 1)):
            if whole is not None:
                restored.restore(whole, {row.uid for row in kept.pods if row.member[at]})
        self.pods, self.cpu, self.memory = pods, cpu, memory

    def _forecast_together(self, online: Collection[PodUsage], cpu: Wanted, memory: Wanted) -> None:
        """Put each pod's part of the common peak in the place of its own."""
        known = {row.uid: pod for row in online if (pod := self.pods.get(row.uid)) and pod.prediction}
        own = {uid: pod.prediction for uid, pod in known.items() if pod.prediction}
        cpus = self.cpu.step(
            cpu,
            {row.uid: row.cpu for row in online if row.cpu is not None and row.uid in own},
            {uid: history.cpu for uid, history in own.items()},
            {uid: pod.cpu for uid, pod in self.pods.items()},
        )
        memories = self.memory.step(
            memory,
            {row.uid: row.memory_peak for row in online if row.memory_peak is not None and row.uid in own},
            {uid: history.memory for uid, history in own.items()},
            {uid: pod.memory for uid, pod in self.pods.items()},
        )
        for uid, history in own.items():
            self.pods[uid].prediction = Prediction(
                cpus.get(uid, history.cpu), memories.get(uid, history.memory), history.observed_seconds
            )

    def _new(self, uid: str, now: float) -> PodHistory | None:
        if len(self.pods) >= MAX_PODS:
            oldest = min(self.pods, key=lambda other: self.pods[other].seen)
            if self.pods[oldest].seen >= now:
                return None
            del self.pods[oldest]
        pod = self.pods[uid] = PodHistory(now)
        return pod
