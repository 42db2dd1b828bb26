"""One node's use, replayed: what each strategy, percent and violation budget would have published, and how well. Pure.

The forecast, its margin, the sum and the sliding minimum are those that the agent and the manager run, at one value per
five minutes in the place of one per minute. A gap is replayed as an agent that was away: what it learnt stays, what
nothing has judged yet is dropped. Nothing is counted before the pods of the first hour have been learnt (`WARM_UP`).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from colocation.assess.batch import Load, Tally
from colocation.assess.figures import GAP, Figures, figures
from colocation.assess.hours import HourSums, by_hour
from colocation.assess.shape import STEP, STEPS_AN_HOUR, NodeTrace, Values
from colocation.budget.compute import Budget, compute, margin_of, offer
from colocation.budget.sums import LEARN, PodSum, Resource
from colocation.budget.window import SlidingMinimum
from colocation.model.policy import PolicySpec, Strategy, part
from colocation.model.report import NodeColocationStatus, Usage
from colocation.predict.forecast import Forecast
from colocation.predict.margin import Margin
from colocation.predict.scores import Scores

HORIZON: Final = STEPS_AN_HOUR
WARM_UP: Final = max(LEARN.values()) // STEP
STRATEGIES: Final[tuple[Strategy, ...]] = ("request", "maxUsageRequest", "predicted", "usage")
"""From careful to bold."""
_EXACT: Final = 1 - 1e-9


class Plan(Struct, frozen=True, kw_only=True):
    """What is replayed on every node of a pool."""

    spec: PolicySpec
    """Percents, quanta and windows; strategy `predicted`."""
    cpu_budgets: tuple[str, ...]
    memory_budgets: tuple[str, ...]
    """Violation budgets to try, as many for memory as for CPU, in rising order."""
    cpu_percents: tuple[int, ...] = ()
    memory_percents: tuple[int, ...] = ()
    """reclaimPercents to try under each strategy; empty: none."""
    stated: int
    """Which of the budgets is the stated risk: strategy `predicted` of the grid has this one."""


class Offer(Struct):
    """What one policy would have published of one resource, summed up over the counted steps."""

    steps: int = 0
    total: int = 0

    def add(self, other: Offer) -> None:
        """Sum up."""
        self.steps += other.steps
        self.total += other.total


class Judged(Struct):
    """How a forecast fared: steps whose coming hour is known."""

    steps: int = 0
    violations: int = 0
    short: float = 0.0
    """Sum of the shortfalls, each as a part of the peak."""

    def add(self, other: Judged) -> None:
        """Sum up."""
        self.steps += other.steps
        self.violations += other.violations
        self.short += other.short

    @property
    def rate(self) -> float:
        """Share of node-time in which the hour's peak exceeded the forecast."""
        return self.violations / self.steps if self.steps else 0.0

    @property
    def severity(self) -> float:
        """Mean shortfall of the violations, as a part of the peak."""
        return self.short / self.violations if self.violations else 0.0


class Rung(Struct):
    """One resource under one violation budget."""

    budget: str
    judged: Judged = field(default_factory=Judged)


class ResourceResult(Struct):
    """One resource of one node."""

    capacity: int
    used: array[int]
    """Use of the whole node, step by step; GAP where it was not measured."""
    published: list[array[int]]
    """By each budget; GAP before it counts."""
    requested: array[int]
    """By online pods, by the hour."""
    rungs: list[Rung]
    grid: dict[tuple[str, int], Offer]
    """By strategy and reclaimPercent."""
    figures: list[Figures]
    """Under each budget."""


class NodeResult(Struct):
    """One node."""

    name: str
    pool: str
    cpu: ResourceResult
    memory: ResourceResult
    loads: list[Tally]
    """Best-effort work that takes everything, under each pair of budgets."""
    covered: int
    """Steps in which both resources were measured."""


def replay(node: NodeTrace, steps: int, plan: Plan) -> NodeResult:
    """Replay one node."""
    facts = node.facts()
    walks = {resource: _Walk(node, steps, plan, resource) for resource in (Resource.CPU, Resource.MEMORY)}
    cpu, memory = walks[Resource.CPU], walks[Resource.MEMORY]
    loads = [Load(facts, plan.spec) for _ in plan.cpu_budgets]
    covered = 0
    for at, (one, other) in enumerate(zip(cpu, memory, strict=True)):
        if one is None or other is None:
            continue
        covered += 1
        if at >= WARM_UP:
            for load, headroom_cpu, headroom_memory in zip(loads, one.headrooms, other.headrooms, strict=True):
                load.step(headroom_cpu, headroom_memory, one.used, other.used)
    return NodeResult(node.name, node.pool, cpu.result(), memory.result(), [load.tally for load in loads], covered)


class _Step(Struct, frozen=True):
    headrooms: list[int]
    used: int
    """By system and online pods."""


class _Walk:
    """One resource of one node through time."""

    def __init__(self, node: NodeTrace, steps: int, plan: Plan, resource: Resource) -> None:
        cpu = resource is Resource.CPU
        self._resource, self._facts, self._steps = resource, node.facts(), steps
        self._whole, self._pods = (node.cpu, node.pods_cpu) if cpu else (node.memory, node.pods_memory)
        self._sums = by_hour(node, -(-steps // STEPS_AN_HOUR), resource)
        self._size = node.cpu_capacity if cpu else node.memory_capacity
        self._policy = plan.spec.oversell.cpu if cpu else plan.spec.oversell.memory
        self._stated = plan.stated
        budgets = plan.cpu_budgets if cpu else plan.memory_budgets
        self._rungs = [Rung(budget) for budget in budgets]
        self._parts = [part(budget) for budget in budgets]
        self._forecast = Forecast(HORIZON, STEP)
        self._scores = Scores(STEP)
        """Of this node alone: what a fleet's table would add is not replayed."""
        self._margins = [Margin(HORIZON, STEP) for _ in budgets]
        grow = plan.spec.oversell.grow_after_seconds
        self._windows = [SlidingMinimum(grow) for _ in budgets]
        percents = plan.cpu_percents if cpu else plan.memory_percents
        self._grid = [
            (strategy, margin_of(self._size, percent), Offer(), SlidingMinimum(grow))
            for strategy in STRATEGIES
            for percent in percents
        ]
        self._offers: dict[tuple[str, int], Offer] = {
            (strategy, percent): one
            for (strategy, _, one, _), percent in zip(self._grid, percents * len(STRATEGIES), strict=True)
        }
        self._hour = -1
        self._online: list[int | None] = []
        self._predicted: list[list[int]] = [[] for _ in budgets]
        self._published = [array("q") for _ in budgets]
        self._used = array("q")

    def __iter__(self) -> Iterator[_Step | None]:
        for at in range(self._steps):
            whole, pods = _at(self._whole, at), _at(self._pods, at)
            if whole is None or pods is None:
                self._gap()
                yield None
            else:
                yield self._step(at, whole, pods)

    def _gap(self) -> None:
        for into in (self._used, *self._published):
            into.append(GAP)
        self._online.append(None)
        for predicted in self._predicted:
            predicted.append(0)
        if len(self._online) > 1 and self._online[-2] is None:
            return  # still away
        if self._forecast.judged:
            kept, self._forecast = self._forecast.keep(), Forecast(HORIZON, STEP)
            self._forecast.restore(kept)
        for number, margin in enumerate(self._margins):
            self._margins[number] = fresh = Margin(HORIZON, STEP)
            fresh.restore(margin.keep())

    def _step(self, at: int, whole: int, pods: int) -> _Step:
        hour = self._sums[at // STEPS_AN_HOUR]
        self._follow(at // STEPS_AN_HOUR)
        system = max(0, whole - pods)
        online = max(0, pods - hour.offline)
        together = max(0, online - hour.learning_use)
        self._used.append(whole)
        self._online.append(online)
        self._forecast.step(together, self._size)
        if self._forecast.score is not None:
            self._scores.add(self._forecast.score)
        multiples = self._scores.multiples(self._parts)
        status = NodeColocationStatus(system=_usage(self._resource, system))
        # With no online pods: what those count for comes off, by strategy, percent and violation budget.
        empty = compute(self._facts, self._resource, self._policy, status, PodSum())
        now = at * STEP
        headrooms = []
        rungs = zip(self._margins, multiples, self._parts, self._windows, strict=True)
        for number, (margin, multiple, share, window) in enumerate(rungs):
            peak = math.ceil(margin.step(together, self._forecast.centre, multiple * self._forecast.spread, share))
            total = hour.learning + (peak if self._forecast.ready else max(together, hour.own_peaks))
            self._predicted[number].append(total)
            headrooms.append(window.add(now, _result(empty, empty.free - total)))
        counted = at >= WARM_UP
        for published, headroom in zip(self._published, headrooms, strict=True):
            published.append(headroom if counted else GAP)
        self._try_grid(now, empty, hour, online, counted=counted)
        return _Step(headrooms, system + online)

    def _try_grid(self, now: int, empty: Budget, hour: HourSums, online: int, *, counted: bool) -> None:
        if not self._grid:
            return
        by = {
            "request": hour.requested,
            "maxUsageRequest": max(hour.most, online),
            "predicted": self._predicted[self._stated][-1],
            "usage": online + hour.exclusive,
        }
        for strategy, margin, offered, window in self._grid:
            headroom = window.add(now, _result(empty, empty.free + empty.margin - margin - by[strategy]))
            if counted:
                offered.steps += 1
                offered.total += headroom

    def _follow(self, hour: int) -> None:
        """Pods that came and went since the last step, a gap included."""
        for passed in range(self._hour + 1, hour + 1):
            if joined := self._sums[passed].joined:
                self._forecast.shift(joined)
                for margin in self._margins:
                    margin.shift(joined)
        self._hour = hour

    def result(self) -> ResourceResult:
        """Everything, once all steps were taken."""
        coming = coming_peaks(self._online)
        for rung, predicted in zip(self._rungs, self._predicted, strict=True):
            rung.judged = _judge(predicted, coming)
        requested = array("q", [hour.requested for hour in self._sums])
        return ResourceResult(
            capacity=self._size,
            used=self._used,
            published=self._published,
            requested=requested,
            rungs=self._rungs,
            grid=self._offers,
            figures=[figures(self._size, self._used, requested, published) for published in self._published],
        )


def _result(empty: Budget, free: int) -> int:
    return 0 if empty.problem else offer(free, empty.ceiling, empty.quantum)


def coming_peaks(online: Sequence[int | None]) -> list[int | None]:
    """The peak of the hour after each step; None where not every step of it was measured."""
    peaks: list[int | None] = []
    for at in range(len(online)):
        coming = online[at + 1 : at + 1 + HORIZON]
        known = [use for use in coming if use is not None]
        peaks.append(max(known) if len(known) == HORIZON and online[at] is not None else None)
    return peaks


def _judge(predicted: Sequence[int], coming: Sequence[int | None]) -> Judged:
    judged = Judged()
    for at, (forecast, peak) in enumerate(zip(predicted, coming, strict=True)):
        if at < WARM_UP or peak is None:
            continue
        judged.steps += 1
        if forecast < peak * _EXACT:
            judged.violations += 1
            judged.short += 1 - forecast / peak
    return judged


def _usage(resource: Resource, amount: int) -> Usage:
    return Usage(cpu=amount) if resource is Resource.CPU else Usage(memory=amount)


def _at(values: Values, at: int) -> int | None:
    return values[at] if at < len(values) else None
