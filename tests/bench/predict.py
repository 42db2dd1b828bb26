# SPDX-License-Identifier: Apache-2.0
"""Savings of each rule of prediction at the same violation rate, and what violation budgets really spend.

The product's own rules (`colocation.replay.rules`) are replayed over several draws of nodes. Intervals: the nodes are
drawn again, with replacement (bootstrap); a rule's savings at a rate are read off between two points of its sweep.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from colocation.predict.histogram import CPU, MEMORY, Scale
from colocation.predict.margin import BUDGETS
from colocation.predict.peak import CPU_PERCENT, MEMORY_PERCENT
from colocation.replay.rules import BUDGETED, RULES, Budgeted, ReplayedNode
from colocation.replay.score import Point, RuleScore, score
from tests.bench import day, plot
from tests.bench.figures import Figure, Report, figure
from tests.lab.progress import say, step

SHAPES: Final = ((20, 12), (5, 12), (20, 3))
"""Pods a node, and the horizon in steps of five minutes."""
SEEDS: Final = (1, 2, 3)
NODES: Final = 8
DRAWS: Final = 100
RATES: Final = (0.005, 0.01, 0.02, 0.05)
OTHERS: Final = tuple(name for name in RULES if name not in {"predicted", "own peaks", "oracle"})
WORDS: Final = """
Nodes are put together from traces, five minutes a step; each rule forecasts the peak of the horizon
(`colocation simulate` has the words). Gain: savings of `predicted`, its margin swept, at the same violation rate as the
best of the other rules at that rate, in points of the requests, with the interval that holds 95 % of {draws} bootstrap
draws of the nodes; {seeds} draws of up to {nodes} nodes each. Spent: violations under a stated budget as a multiple of
it; its goal is 0.5 to 1.5. Savings: of the budget's own run. `TRACES=PATH:PATH` adds traces; the made day is nobody's.
""".strip()


class Case(Struct):
    """One resource of one trace at one shape."""

    name: str
    resource: str
    pods: int
    horizon: int
    nodes: list[list[RuleScore]]
    """Each node's outcomes, in the order of RULES, the budgeted one last."""


class Gain(Struct):
    """Against the best other rule at one rate, in points."""

    rate: float
    best: str
    low: float
    gain: float
    high: float


def run(*, full: bool) -> Report:
    """Replay the made day, and each trace named in TRACES."""
    paths = [Path(part) for part in os.environ.get("TRACES", "").split(":") if part]
    cases: list[Case] = []
    for pods, horizon in SHAPES:
        for source in (None, *paths):
            name = "made" if source is None else source.name.split("-")[0]
            with step(f"{name}: {pods} pods a node, horizon {horizon}", "a minute"):
                cases += _cases(source, pods, horizon, NODES * (4 if full else 1))
    figures: list[Figure] = []
    rows = [
        "| trace | resource | pods | horizon | rate | best other rule | gain, points | 95 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    spends = [
        "| trace | resource | pods | horizon | asked | spent, times | 95 % | savings |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        draws = _draws(case.nodes)
        start = f"{case.name}-{case.resource}-{case.pods}pods-{case.horizon}steps"
        head = f"| {case.name} | {case.resource} | {case.pods} | {case.horizon * 5} min |"
        for gain in gains(case, draws):
            rows.append(
                f"{head} {100 * gain.rate:g} % | {gain.best} | {gain.gain:+.2f} | {gain.low:+.2f} to {gain.high:+.2f} |"
            )
            at = f"{start}-gain-at-{100 * gain.rate:g}pc"
            figures.append(figure(at, gain.gain, "points", note=f"{gain.low:+.2f} to {gain.high:+.2f}"))
            figures[-1].goal, figures[-1].met = "> 0 points", gain.gain > 0
        for budget, (low, spent, high), savings in spending(case, draws):
            rows_at = f"{100 * budget:g} %"
            spends.append(f"{head} {rows_at} | {spent:.2f} | {low:.2f} to {high:.2f} | {100 * savings:.2f} % |")
            at = f"{start}-spent-of-{100 * budget:g}pc"
            figures.append(figure(at, spent, "x", note=f"{low:.2f} to {high:.2f}"))
            figures[-1].goal, figures[-1].met = "0.5 to 1.5 x", 0.5 <= spent <= 1.5
    missed = [f.name for f in figures if f.met is False]
    words = WORDS.format(draws=DRAWS, seeds=len(SEEDS), nodes=NODES * (4 if full else 1))
    verdict = f"Missed, {len(missed)} of {len(figures)}: {', '.join(missed)}." if missed else "Every goal is met."
    say(verdict)
    text = "\n".join([words, "", *rows, "", *spends, "", verdict])
    curves = {
        f"{case.name} {case.resource}": pooled(case.nodes) for case in cases if (case.pods, case.horizon) == SHAPES[0]
    }
    return Report("Predict", text, figures, lambda to: plot.curves(to, curves), rows=False)


def gains(case: Case, again: list[dict[str, RuleScore]]) -> list[Gain]:
    """Against the best of the others, chosen on all nodes together at each rate."""
    whole = {one.rule: one for one in pooled(case.nodes)}
    found = []
    for rate in RATES:
        ranked = sorted((saved, name) for name in OTHERS if (saved := whole[name].savings_at(rate)) is not None)
        ours = whole["predicted"].savings_at(rate)
        if ours is None or not ranked:
            continue
        saved, best = ranked[-1]
        spread = sorted(
            a - b
            for one in again
            if (a := one["predicted"].savings_at(rate)) is not None and (b := one[best].savings_at(rate)) is not None
        )
        low, high = _middle(spread)
        found.append(Gain(rate, best, 100 * low, 100 * (ours - saved), 100 * high))
    return found


def spending(case: Case, again: list[dict[str, RuleScore]]) -> list[tuple[float, tuple[float, float, float], float]]:
    """(budget, (low, spent, high) as multiples of it, savings)."""
    whole = {one.rule: one for one in pooled(case.nodes)}[BUDGETED]
    found = []
    for budget in BUDGETS:
        (point,) = [p for p in whole.curve if p.margin == budget]
        spread = sorted(p.violations / budget for one in again for p in one[BUDGETED].curve if p.margin == budget)
        low, high = _middle(spread)
        found.append((budget, (low, point.violations / budget, high), point.savings))
    return found


def pooled(nodes: Sequence[Sequence[RuleScore]]) -> list[RuleScore]:
    """The nodes' outcomes as one; all have as many steps."""
    return [
        RuleScore(
            rule=rules[0].rule,
            usual=_mean([one.usual for one in rules]),
            curve=tuple(_mean(points) for points in zip(*(one.curve for one in rules), strict=True)),
        )
        for rules in zip(*nodes, strict=True)
    ]


def _mean(points: Sequence[Point]) -> Point:
    count, wrong = len(points), sum(p.violations for p in points)
    return Point(
        margin=points[0].margin,
        violations=wrong / count,
        severity=sum(p.severity * p.violations for p in points) / wrong if wrong else 0.0,
        savings=sum(p.savings for p in points) / count,
    )


def _draws(nodes: list[list[RuleScore]]) -> list[dict[str, RuleScore]]:
    dice = random.Random(1)
    return [{one.rule: one for one in pooled(dice.choices(nodes, k=len(nodes)))} for _ in range(DRAWS)]


def _middle(ordered: Sequence[float]) -> tuple[float, float]:
    """What holds 95 %."""
    if not ordered:
        return float("nan"), float("nan")
    cut = int(len(ordered) * 0.025)
    return ordered[cut], ordered[-1 - cut]


def _cases(source: Path | None, pods: int, horizon: int, nodes: int) -> list[Case]:
    """One case a resource; each node is replayed for itself, so that nodes can be drawn again."""
    cases: dict[str, Case] = {}
    name = "made" if source is None else source.name.split("-")[0]
    for seed in SEEDS:
        made = day.made(nodes, pods, seed) if source is None else day.trace(source, nodes, pods, seed)
        for resource in made.resources:
            cpu = resource == "cpu"
            size = float((day.POD_CPU if cpu else day.POD_MEMORY) * pods)
            scale, percent = _of(cpu=cpu)
            case = cases.setdefault(resource, Case(name, resource, pods, horizon, []))
            for node in made.nodes:
                use = [[float(v) for v in (pod.cpu if cpu else pod.memory)[:: day.STEP]] for pod in node]
                one = ReplayedNode(pods, size, scale, percent, horizon)
                case.nodes.append(score([(one, use)], {**RULES, BUDGETED: Budgeted}, horizon=horizon))
    return list(cases.values())


def _of(*, cpu: bool) -> tuple[Scale, float]:
    return (CPU, CPU_PERCENT) if cpu else (MEMORY, MEMORY_PERCENT)
