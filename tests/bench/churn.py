# SPDX-License-Identifier: Apache-2.0
"""Pods that live eight hours on average, beside the same load without churn: what new pods of known workloads save.

The agent's histories and the manager's sums run as they are, minute by minute. Every node runs one replica of each of
the same workloads. A pod that ends is followed at once by a new one of its workload, under the same load.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from msgspec import Struct

from colocation.budget import NONE_KNOWN, KnownPeaks, PodSums, Workloads, add_up
from colocation.model.facts import PodFacts, Qos
from colocation.model.report import NodeColocationStatus, PodUsage
from colocation.predict.peak import EVERY_SECONDS, Histories
from colocation.predict.together import Wanted
from colocation.replay.shape import Pod
from tests.bench import weeks

NODES, PODS, DAYS = 4, 8, 3
CPU, MEMORY = 4000, 16 * 2**30
"""What each pod requests."""
LIFE_HOURS: Final = 8.0
SETTLE: Final = 24 * 60
"""Minutes that do not count: all pods are new at first."""
_BUDGET: Final = 0.01
_BY: Final = ("predicted", "predicted")
_MINUTES: Final = 5


class Churn(Struct, frozen=True):
    """Of one resource, in percent of the requests: what is left to publish."""

    resource: str
    still: float
    """Pods that live on."""
    unknown: float
    """Pods that come and go, each counted by its own history alone."""
    known: float
    """The same pods, as they count: by their workload's peaks until their own history is long enough."""


class _Node:
    """One node: its replicas, which may be replaced, and its agent."""

    def __init__(self, number: int, load: Sequence[Pod], life: float | None, dice: random.Random) -> None:
        self.number, self._load, self._life, self._dice = number, load, life, dice
        self._histories, self._count = Histories(), 0
        self.pods = [self._new(at) for at in range(len(load))]

    def minute(self, minute: int) -> NodeColocationStatus:
        """What the agent reports after this minute."""
        if self._life is not None:
            for at in range(len(self.pods)):
                if self._dice.random() < 1 / (60 * self._life):
                    self.pods[at] = self._new(at)
        rows = []
        for pod, (cpu, memory) in zip(self.pods, self._load, strict=True):
            used, held = int(cpu[minute // _MINUTES] * CPU / 100), int(memory[minute // _MINUTES] * MEMORY / 100)
            rows.append(PodUsage(uid=pod.uid, cpu=used, cpu_peak=used, memory=held, memory_peak=held))
        self._histories.learn(
            minute * EVERY_SECONDS,
            rows,
            [row.uid for row in rows],
            cpu=Wanted(CPU * len(rows), _BUDGET),
            memory=Wanted(MEMORY * len(rows), _BUDGET),
        )
        return NodeColocationStatus(pods=tuple(self._histories.with_prediction(row) for row in rows))

    def _new(self, at: int) -> PodFacts:
        self._count += 1
        uid = f"n{self.number}-w{at}-{self._count}"
        return PodFacts(uid, uid, uid, "n", Qos.LS, True, CPU, MEMORY, workload=f"w{at}")


def run(nodes: int = NODES, pods: int = PODS, days: int = DAYS, settle: int = SETTLE) -> list[Churn]:
    """Both resources."""
    base = weeks.node(pods, weeks.JUDGING[1], 0, days)
    dice = random.Random(1)
    loads = [[_replica(pod, dice.uniform(0.85, 1.15)) for pod in base] for _ in range(nodes)]
    still, _ = _left(loads, None, days, settle)
    known, unknown = _left(loads, LIFE_HOURS, days, settle)
    return [
        Churn(resource, 100 * still[at], 100 * unknown[at], 100 * known[at])
        for at, resource in enumerate(("cpu", "memory"))
    ]


def words(rows: Sequence[Churn]) -> str:
    """For the page."""
    head = (
        f"Pods that live {LIFE_HOURS:g} h on average ({NODES} nodes of {PODS} pods, {DAYS} days, the first one not "
        "counted; 1 %; a replica of each workload on each node): what is left, in percent of the requests.\n\n"
        "| resource | without churn | each pod by itself | by its workload's peaks |\n|---|---|---|---|\n"
    )
    return head + "\n".join(f"| {r.resource} | {r.still:.1f} | {r.unknown:.1f} | {r.known:.1f} |" for r in rows)


def _replica(pod: Pod, times: float) -> Pod:
    return tuple([min(100.0, value * times) for value in column] for column in pod)


def _left(
    loads: Sequence[Sequence[Pod]], life: float | None, days: int, settle: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Parts of the requests that are left for cpu and memory: with the workloads' peaks, and without them."""
    dice = random.Random(2)
    nodes = [_Node(number, load, life, dice) for number, load in enumerate(loads)]
    workloads = Workloads()
    left: list[list[tuple[float, float]]] = [[], []]
    for minute in range(days * weeks.DAY * _MINUTES):
        for node in nodes:
            status = node.minute(minute)
            owners = {pod.uid: pod.workload for pod in node.pods}
            for row in status.pods:
                workloads.saw(owners[row.uid], row, minute * EVERY_SECONDS)
            if minute >= settle and minute % _MINUTES == 0:
                left[0].append(_part(_sums(node.pods, status, workloads), len(node.pods)))
                left[1].append(_part(_sums(node.pods, status, NONE_KNOWN), len(node.pods)))
    with_peaks, without = ((fmean(cpu for cpu, _ in rows), fmean(memory for _, memory in rows)) for rows in left)
    return with_peaks, without


def _sums(pods: Sequence[PodFacts], status: NodeColocationStatus, known: KnownPeaks) -> PodSums:
    return add_up(pods, status, _BY, (), known)


def _part(sums: PodSums, pods: int) -> tuple[float, float]:
    return 1 - min(1.0, sums.cpu.online / (CPU * pods)), 1 - min(1.0, sums.memory.online / (MEMORY * pods))
