"""Replays use through rules, and counts how often each was wrong, by how much, and what it saved. Pure.

At every step after the warm-up a rule forecasts the node's peak over the horizon, at most the node's size (the sum of
the requests). A violation is a step whose true peak is above it. Severity is the shortfall as a part of the true
peak, on average over the violations. Savings are what is left to publish, as a part of the size, on average over steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from colocation.predict.histogram import CPU, MEMORY
from colocation.predict.peak import CPU_PERCENT, MEMORY_PERCENT
from colocation.replay.rules import BUDGETED, RULES, Budgeted, ReplayedNode, Rule
from colocation.replay.shape import REQUEST, Pod

Series = Sequence[float]


class Point(Struct, frozen=True, kw_only=True, rename="camel"):
    """One rule at one margin. All but ``margin`` are parts of one."""

    margin: float
    violations: float
    severity: float
    savings: float


class RuleScore(Struct, frozen=True, kw_only=True, rename="camel"):
    """One rule: as it is run, and its trade-off curve by margin."""

    rule: str
    usual: Point
    curve: tuple[Point, ...]

    def savings_at(self, violations: float) -> float | None:
        """Savings at this violation rate, between the two points of the curve around it; None off the curve."""
        points = sorted(self.curve, key=lambda point: (point.violations, point.savings))
        if points[0].violations > violations:
            return None
        best = points[0].savings
        for low, high in pairwise(points):
            if high.violations <= violations:
                best = max(best, high.savings)
            elif low.violations <= violations:
                part = (violations - low.violations) / (high.violations - low.violations)
                best = max(best, low.savings + part * (high.savings - low.savings))
        return best


class _Tally:
    def __init__(self, margin: float) -> None:
        self.margin = margin
        self.steps = self.wrong = 0
        self.short = self.saved = 0.0

    def add(self, predicted: float, true: float, size: float) -> None:
        predicted = min(predicted, size)
        self.steps += 1
        self.saved += 1 - predicted / size
        if predicted < true * (1 - 1e-9):
            self.wrong += 1
            self.short += 1 - predicted / true

    def point(self) -> Point:
        steps = max(1, self.steps)
        return Point(
            margin=self.margin,
            violations=self.wrong / steps,
            severity=self.short / max(1, self.wrong),
            savings=self.saved / steps,
        )


def score(
    groups: Sequence[tuple[ReplayedNode, Sequence[Series]]],
    rules: Mapping[str, Callable[[ReplayedNode], Rule]],
    *,
    warm_up: int = 24,
    horizon: int = 12,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[RuleScore]:
    """Each group: a node and the use of its pods, step by step, in the unit of its size."""
    tallies: dict[str, list[_Tally]] = {}
    usual: dict[str, float] = {}
    for done, (node, pods) in enumerate(groups):
        steps = list(zip(*pods, strict=False))
        sums = [sum(use) for use in steps]
        runs = {name: make(node) for name, make in rules.items()}
        for name, rule in runs.items():
            usual[name] = rule.usual
            tallies.setdefault(name, [_Tally(margin) for margin in rule.sweep])
        for at in range(len(steps) - horizon):
            coming = max(sums[at + 1 : at + 1 + horizon])
            for name, rule in runs.items():
                predicted = rule.step(steps[at], coming)
                if at >= warm_up:
                    for tally, amount in zip(tallies[name], predicted, strict=True):
                        tally.add(amount, coming, node.size)
        progress(done + 1, len(groups))
    outcomes = []
    for name, rows in tallies.items():
        curve = tuple(tally.point() for tally in rows)
        (chosen,) = [point for point in curve if point.margin == usual[name]]
        outcomes.append(RuleScore(rule=name, usual=chosen, curve=curve))
    return outcomes


def by_rule(
    nodes: Sequence[Sequence[Pod]],
    column: int,
    resource: str,
    warm_up: int,
    horizon: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[RuleScore]:
    """One resource of a trace's nodes, through every rule and the budgeted one."""
    request = REQUEST[resource]
    scale, percent = (CPU, CPU_PERCENT) if resource == "cpu" else (MEMORY, MEMORY_PERCENT)
    groups = [
        (
            ReplayedNode(len(pods), float(request * len(pods)), scale, percent, horizon),
            [[min(100.0, max(0.0, value)) * request / 100 for value in pod[column]] for pod in pods],
        )
        for pods in nodes
    ]
    rules = {**RULES, BUDGETED: Budgeted}
    return score(groups, rules, warm_up=warm_up, horizon=horizon, progress=lambda done, _total: progress(done))
