# SPDX-License-Identifier: Apache-2.0
"""How calm the published number is over a day of real use, and how often it was more than there was.

The agent's predictor, the budget, the sliding minimum and the manager's own "is there anything to write" run as they
are; beside them, on the same reports, what others do. Nodes report once a minute; nothing best-effort runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct, structs

from colocation.budget import Candidate, ReportView, Resource, Selection, Windows, add_up, compute, evaluate, strategies
from colocation.manager.patches import node_job
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.names import NODE_LABEL
from colocation.model.phrase import phrase
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec
from colocation.model.report import NodeColocationStatus, PodUsage, Usage
from colocation.predict.peak import Histories
from tests.bench import day, plot
from tests.bench.day import POD_CPU, POD_MEMORY, Day, Pod
from tests.bench.figures import Figure, Report, figure
from tests.lab.progress import say, step

SETTLE_MINUTES: Final = 6 * 60 + 15
"""Left out at the beginning: until an hour (CPU) or six (memory) of a pod have been seen its request counts, and the
moment in which that ends for all pods at once comes once in their life."""
SYSTEM_PERCENT: Final = 2
RULES: Final = ("ours", "ours, coarse", "differs by 10 %", "60 % of what is idle")
NODES, PODS_EACH = 20, 20
COARSE: Final = PolicySpec(oversell=Oversell(cpu=OversellCpu(quantum="1"), memory=OversellMemory(quantum="4Gi")))
"""Quanta that fit nodes of this size (80 cores): about 1 %. The defaults, 100m and 64Mi, fit small ones."""
WORDS: Final = """
A day, minute by minute, through the agent's predictor and the manager's budget, window and comparison: with the default
policy, and with quanta of about 1 % of these nodes (coarse). Beside them, on the same reports, two rules of others.
Counted from 06:15 on, when both predictions have been learnt. A pod requests 4 CPUs and 16 GiB, and a node is as large
as the requests of its pods: 80 CPUs, 320 GiB.

Writes: of a Node, an hour. Rise and fall: the largest in one minute, in percent of the node. Above free: part of the
time in which more was published than was really free in the minute that followed; above allowed: than the policy lets
be used (60 % of CPU, 65 % of memory, less what is in use). `TRACES=PATH:PATH make bench` adds traces in the form of
`colocation simulate`.
""".strip()

Pair = tuple[int, int]
"""cpu and memory."""


class Rule(Protocol):
    """What is published after each report of one node."""

    def report(self, now: float, status: NodeColocationStatus) -> bool:
        """Take a report; True if the Node is written."""

    @property
    def published(self) -> Pair:
        """What stands on the Node."""


class Ours:
    """The manager's own way, with the default policy, or one of other quanta."""

    def __init__(self, node: NodeFacts, pods: list[PodFacts], policy: PolicySpec = PolicySpec()) -> None:
        self._facts, self._pods, self._windows, self._histories = node, pods, Windows(), Histories()
        self._selection = Selection(Candidate("default", 1, policy), (), phrase("onlyPolicy"))
        self._uids = [pod.cgroup_uid for pod in pods]

    def report(self, now: float, status: NodeColocationStatus) -> bool:
        """See Rule."""
        self._histories.learn(now, status.pods, self._uids)
        status = structs.replace(status, pods=tuple(self._histories.with_prediction(row) for row in status.pods))
        view = ReportView(status, arrived=now, since_start=True)
        sums = add_up(self._pods, status, strategies(self._selection, status))
        decided = evaluate(self._facts, self._selection, view, sums, self._windows, now)
        job = node_job(self._facts, decided)
        if job is None:
            return False
        given = decided.decision
        self._facts = structs.replace(self._facts, published=Published(given.cpu, given.memory, given.gate))
        return True

    @property
    def published(self) -> Pair:
        """See Rule."""
        return self._facts.published.cpu or 0, self._facts.published.memory or 0


class TenPercent:
    """Capacity less margin, system and mean use of each pod; written when it differs by more than a tenth."""

    def __init__(self, node: NodeFacts, pods: list[PodFacts]) -> None:
        self._node, self._pods = node, pods
        self.published: Pair = (0, 0)

    def report(self, now: float, status: NodeColocationStatus) -> bool:  # noqa: ARG002
        """See Rule."""
        sums = add_up(self._pods, status, ("usage", "usage"))
        cpu = compute(self._node, Resource.CPU, OversellCpu(quantum="1m"), status, sums.cpu).result
        memory = compute(self._node, Resource.MEMORY, OversellMemory(quantum="1"), status, sums.memory).result
        if all(abs(new - old) <= old / 10 for new, old in zip((cpu, memory), self.published, strict=True)):
            return False
        self.published = (cpu, memory)
        return True


class PartOfIdle:
    """60 % of what is idle now, written whenever it is another number of millicores or MiB."""

    def __init__(self, node: NodeFacts, pods: list[PodFacts]) -> None:  # noqa: ARG002 (of a kind with the others)
        self._node = node
        self.published: Pair = (0, 0)

    def report(self, now: float, status: NodeColocationStatus) -> bool:  # noqa: ARG002
        """See Rule."""
        used = status.node or Usage()
        idle = (
            max(0, self._node.cpu_capacity - (used.cpu or 0)),
            max(0, self._node.memory_capacity - (used.memory or 0)),
        )
        new = (idle[0] * 60 // 100, idle[1] * 60 // 100 >> 20 << 20)
        changed, self.published = new != self.published, new
        return changed


class Told(Struct):
    """What one rule did with one resource of all nodes."""

    rule: str
    resource: str
    writes: float
    """A node and hour (of the Node, whichever resource changed)."""
    rise: float
    """Largest in a minute, in percent of the capacity."""
    fall: float
    over_free: float
    """Percent of the time in which more was published than was free in that minute."""
    over_allowed: float
    """The same against what the policy lets be used: 60 % of the CPU, 65 % of the memory."""
    published: float
    """Published on average, in percent of the capacity."""


class Line(Struct):
    """One node over the day, for the plot: free, allowed and published by rule."""

    free: list[int]
    published: dict[str, list[int]]


def run(*, full: bool) -> Report:
    """Replay the made day, and each trace named in TRACES (paths, separated by colons)."""
    paths = [Path(part) for part in os.environ.get("TRACES", "").split(":") if part]
    count = NODES * 4 if full else NODES
    days = [day.made(10, PODS_EACH), *(day.trace(path, count, PODS_EACH) for path in paths)]
    figures: list[Figure] = []
    tables, lines = [], {}
    for each in days:
        with step(f"a day of {each.words}", "half a minute"):
            answer, line = replay(each)
        lines[each.name] = line
        figures += _figures(each, answer)
        tables.append(table(each, answer))
        say(tables[-1])
    return Report("Calm", WORDS + "\n\n" + "\n\n".join(tables), figures, lambda to: plot.days(to, lines), rows=False)


def replay(day: Day) -> tuple[list[Told], Line]:
    """Every rule over every node; the canary node's CPU as a line."""
    tallies = {(rule, resource): _Tally() for rule in RULES for resource in ("cpu", "memory")}
    line = Line([], {rule: [] for rule in RULES})
    for number, pods in enumerate(day.nodes):
        capacity = (POD_CPU * len(pods), POD_MEMORY * len(pods))
        system = (capacity[0] * SYSTEM_PERCENT // 100, capacity[1] * SYSTEM_PERCENT // 100)
        rules = _rules(f"n{number}", capacity, len(pods))
        for minute, status, free in _minutes(pods, capacity, system):
            if minute >= SETTLE_MINUTES and number == 0:
                line.free.append(free[0])
            for name, rule in rules.items():
                before = rule.published
                wrote = rule.report(minute * 60.0, status)
                if minute < SETTLE_MINUTES:
                    continue
                if number == 0:
                    line.published[name].append(rule.published[0])
                for at, (resource, share) in enumerate((("cpu", 60), ("memory", 65))):
                    allowed = free[at] - capacity[at] * (100 - share) // 100
                    tallies[name, resource].add(
                        capacity[at], before[at], rule.published[at], free[at], allowed, wrote=wrote
                    )
    return [tallies[rule, what].told(rule, what) for what in day.resources for rule in RULES], line


def table(day: Day, answer: list[Told]) -> str:
    """One day's rows for people."""
    rows = [
        f"| {t.resource} | {t.rule} | {t.writes:.2f} | {t.rise:.1f} % | {t.fall:.1f} % | {t.over_free:.2f} % | "
        f"{t.over_allowed:.2f} % | {t.published:.1f} % |"
        for t in answer
    ]
    head = "| resource | rule | writes/node/h | rise | fall | above free | above allowed | published on average |"
    return "\n".join([f"**{day.name}**: {day.words}", "", head, "|---|---|---|---|---|---|---|---|", *rows])


class _Tally:
    def __init__(self) -> None:
        self.minutes = self.writes = self.over_free = self.over_allowed = 0
        self.rise = self.fall = self.published = 0.0

    def add(self, capacity: int, before: int, after: int, free: int, allowed: int, *, wrote: bool) -> None:
        self.minutes += 1
        self.writes += wrote
        self.rise = max(self.rise, (after - before) / capacity)
        self.fall = max(self.fall, (before - after) / capacity)
        self.over_free += after > max(0, free)
        self.over_allowed += after > max(0, allowed)
        self.published += after / capacity

    def told(self, rule: str, resource: str) -> Told:
        part = 100 / self.minutes
        return Told(
            rule, resource, self.writes * 60 / self.minutes, 100 * self.rise, 100 * self.fall,
            self.over_free * part, self.over_allowed * part, self.published * part,
        )  # fmt: skip


def _rules(name: str, capacity: Pair, pods: int) -> dict[str, Rule]:
    node = NodeFacts(name, name, "1", {NODE_LABEL: "true"}, capacity[0], capacity[0], capacity[1], capacity[1])
    facts = [PodFacts(f"p{i}", f"p{i}", f"p{i}", name, Qos.LS, True, POD_CPU, POD_MEMORY) for i in range(pods)]
    ours = Ours(node, facts), Ours(node, facts, COARSE)
    made: tuple[Rule, ...] = (*ours, TenPercent(node, facts), PartOfIdle(node, facts))
    return dict(zip(RULES, made, strict=True))


def _minutes(pods: list[Pod], capacity: Pair, system: Pair) -> Iterator[tuple[int, NodeColocationStatus, Pair]]:
    """Each minute's report, and what was really free in the minute after it."""
    last = len(pods[0].cpu) - 1
    for minute in range(last):
        rows = tuple(
            PodUsage(uid=f"p{i}", cpu=p.cpu[minute], cpu_peak=p.cpu[minute], memory=p.memory[minute],
                     memory_peak=p.memory[minute])
            for i, p in enumerate(pods)
        )  # fmt: skip
        used = sum(p.cpu[minute] for p in pods) + system[0], sum(p.memory[minute] for p in pods) + system[1]
        status = NodeColocationStatus(
            observed_at=f"{minute}",
            node=Usage(cpu=used[0], memory=used[1]),
            system=Usage(cpu=system[0], memory=system[1]),
            pods=rows,
        )
        after = minute + 1
        free = (
            capacity[0] - system[0] - sum(p.cpu[after] for p in pods),
            capacity[1] - system[1] - sum(p.memory[after] for p in pods),
        )
        yield minute, status, free


def _figures(day: Day, answer: list[Told]) -> list[Figure]:
    found: list[Figure] = []
    for t in answer:
        start = f"{day.name}-{t.resource}-{t.rule.replace(' %', 'pc').replace(',', '').replace(' ', '-')}"
        found += [
            figure(f"{start}-writes", t.writes, "writes/node/h"),
            figure(f"{start}-rise", t.rise, "% of the node in a minute"),
            figure(f"{start}-fall", t.fall, "% of the node in a minute"),
            figure(f"{start}-above-free", t.over_free, "% of the time"),
            figure(f"{start}-above-allowed", t.over_allowed, "% of the time"),
            figure(f"{start}-published", t.published, "% of the node"),
        ]
    return found
