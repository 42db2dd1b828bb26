# SPDX-License-Identifier: Apache-2.0
"""Figures and page from what the parts measured; pairs that something else disturbed are left out by one rule."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from tests.bench.agent.cost import Cost
from tests.bench.agent.interference import ALONE, ARMS, LATE_MOST, OTHERS_MOST, RATE, SECONDS, TRIES, Row
from tests.bench.agent.reaction import Trial
from tests.bench.agent.statistics import interval, spread
from tests.bench.figures import Figure, figure, percentile

CORES: Final = 2
PAIRS: Final = 7
SHORT: Final = {
    "no protection": "none",
    "kubelet's defaults": "kubelet",
    "idle only": "idle",
    "quota only": "quota",
    "idle and quota": "both",
}


class Pairs:
    """The blocks that count (nothing disturbed a run of theirs more than it may), and their ratios."""

    def __init__(self, rows: Sequence[Row]) -> None:
        numbers = sorted({row.block for row in rows})
        blocks = [[row for row in rows if row.block == number] for number in numbers]
        self.blocks = [block for block in blocks if not any(row.disturbed for row in block)]
        self.left_out = len(blocks) - len(self.blocks)

    @property
    def count(self) -> int:
        """How many count."""
        return len(self.blocks)

    def rows(self, arm: str) -> list[Row]:
        """All runs of one arm."""
        return [row for block in self.blocks for row in block if row.arm == arm]

    def ratios(self, arm: str, field: str = "p99") -> list[float]:
        """Of each block: the arm against the mean of the two runs alone around it."""
        return [_value(block, arm, field) / _value(block, ALONE, field) for block in self.blocks]

    def noise(self, field: str = "p99") -> list[float]:
        """Of each block: the second run alone against the first."""
        runs = [[getattr(row, field) for row in block if row.arm == ALONE] for block in self.blocks]
        return [second / first for first, second in runs]

    def idle_used(self, arm: str) -> list[float]:
        """Percent of what the machine left idle alone that the batch work got."""
        return [100 * _value(block, arm, "batch") / (CORES - _value(block, ALONE, "machine")) for block in self.blocks]

    def busy(self, arm: str) -> list[float]:
        """Percent of the machine in use."""
        return [100 * _value(block, arm, "machine") / CORES for block in self.blocks]


def _value(block: Sequence[Row], arm: str, field: str) -> float:
    values: list[float] = [getattr(row, field) for row in block if row.arm == arm]
    return sum(values) / len(values)


def costs(rows: Sequence[Cost]) -> list[Figure]:
    """What the agent takes."""
    if not rows:
        return []
    node, made = rows
    note = "Threads' time by the scheduler's own count over 60 s, reports included, as rolled out."
    made_of = f"{made.pods} made groups in real hierarchies, half of them best effort and held."
    real = f"Of one core, with {node.pods} real pods beside it. {note}"
    return [
        figure("agent-cpu-30", node.cpu, "%", most=1, note=real),
        figure("agent-resident", node.resident, "MiB", most=45, note="The same agent, after that minute."),
        figure("agent-cpu-250", made.cpu, "%", most=3, note=made_of),
    ]


def reactions(trials: Sequence[Trial]) -> list[Figure]:
    """How soon the quotas fall."""
    if not trials:
        return []
    first, whole = [t.first for t in trials], [t.whole for t in trials]
    note = f"{len(trials)} rises at random moments, by a pod that takes two threads from one moment to the next."
    lowered = f"Until the quotas together were lowered by a twentieth. {note}"
    fallen = "Until nine tenths of the fall."
    return [
        figure("reaction-p99", percentile(first, 99), "s", most=1.5, note=lowered),
        figure("reaction-p50", percentile(first, 50), "s"),
        figure("reaction-whole-p99", percentile(whole, 99), "s", note=fallen),
        figure("reaction-whole-p50", percentile(whole, 50), "s"),
    ]


def interference(pairs: Pairs) -> list[Figure]:
    """What the service feels, arm beside arm."""
    if not pairs.blocks:
        return []
    alone = [row.p99 for row in pairs.rows(ALONE)]
    floor = median(alone)
    asked = f"{RATE:g} requests a second drawn at random, {SECONDS:g} s each; single runs {spread(alone)} ms."
    again = f"The second run alone of a block against its first: {spread(pairs.noise())}; {_interval(pairs.noise())}."
    made = [
        figure("alone-p99", floor, "ms", note=asked),
        figure("noise-p99", median(pairs.noise()), "x", note=again),
    ]
    for arm in ARMS:
        ratios, best = pairs.ratios(arm), arm == "idle and quota"
        note = f"{arm}: median of {len(ratios)} pairs, {_interval(ratios)}, single pairs {spread(ratios)}."
        name = f"p99-{SHORT[arm]}"
        made.append(figure(name, median(ratios), "x alone", most=1.1 if best else None, note=note))
    for arm in ARMS:
        best = arm == "idle and quota"
        work, busy = median(pairs.idle_used(arm)), median(pairs.busy(arm))
        part = f"Batch work, of what the machine left idle alone; {arm}."
        made.append(figure(f"batch-{SHORT[arm]}", work, "%", least=85 if best else None, note=part))
        made.append(figure(f"busy-{SHORT[arm]}", busy, "%", least=90 if best else None))
    return made


def _interval(values: Sequence[float]) -> str:
    low, high = interval(values)
    return f"95 % interval of the median {low:.3g} to {high:.3g}"


def table(pairs: Pairs) -> str:
    """All arms side by side."""
    heads = (
        "arm",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "p99 x alone",
        "batch work, cores",
        "machine busy",
        "kept by the hypervisor",
        "kubelet's errors",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for arm in (ALONE, *ARMS):
        rows = pairs.rows(arm)
        ratio = "" if arm == ALONE else f"{median(pairs.ratios(arm)):.2f}"
        cells = [f"{median([getattr(row, field) for row in rows]):.3g}" for field in ("p50", "p99", "p999")]
        work, errors = median([row.batch for row in rows]), sum(row.errors for row in rows)
        stolen = median([100 * row.stolen / CORES for row in rows])
        cells += [ratio, f"{work:.2f}", f"{median(pairs.busy(arm)):.0f} %", f"{stolen:.2f} %", f"{errors}"]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def words(pairs: Pairs) -> str:
    """What the page says above its figures."""
    if not pairs.blocks:
        return "What a service feels was not measured: nothing but disturbed runs."
    load = median([row.others for block in pairs.blocks for row in block])
    return (
        "One node of the lab, rolled out by the playbook, on all cores of this machine; the control plane beside it. "
        f"The service answers {RATE:g} requests a second, drawn at random, each worth 2 ms of CPU; they come from "
        "outside the node by a generator in real time, and latency counts from when each was due. Offline: a Job of "
        "four pods that would take both cores. Every block runs each arm once between two runs of the service alone; "
        "a ratio is against the mean of these two. All else on this machine has the lowest weight while a run is "
        f"measured. If it took more than {OTHERS_MOST:g} cores all the same, or the generator was late by more than "
        f"{LATE_MOST:g} ms at p99, the run is made again; after {TRIES} times the block is left out: {pairs.left_out} "
        f"left out, {pairs.count} count; others took {load:.2f} cores in the median. What the hypervisor kept "
        f"is time in which this machine had work and its host gave it no CPU.\n\n{table(pairs)}"
    )


def drawn(pairs: Pairs) -> dict[str, tuple[list[float], list[float]]]:
    """For the plot: of each arm the ratios of p99, and the batch work in cores; first the noise."""
    result = {"alone, again": (pairs.noise(), [0.0])}
    return result | {arm: (pairs.ratios(arm), [row.batch for row in pairs.rows(arm)]) for arm in ARMS}
