"""Nodes added up to pools and the cluster: sums in time, percentiles, hours of the week. Pure.

A node that was not measured for a while counts with its own mean there, or a sum would fall for each gap.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from colocation.assess.batch import Tally
from colocation.assess.figures import GAP, Figures, figures, mean
from colocation.assess.replay import Judged, NodeResult, Offer, ResourceResult
from colocation.assess.shape import HOUR, STEPS_AN_HOUR

WEEK: Final = 168
_EPOCH_HOUR: Final = 72
"""Unix time began on a Thursday; weeks here begin on Monday."""


class WeekHour(Struct, kw_only=True, rename="camel"):
    """One hour of the week, UTC, on average over the weeks; parts of capacity, or None where nothing was measured."""

    hour: int
    """0: Monday, midnight."""
    used: float | None = None
    published: float | None = None


class Sums(Struct):
    """One resource of several nodes."""

    capacity: int = 0
    used: array[int] = field(default_factory=lambda: array("q"))
    requested: array[int] = field(default_factory=lambda: array("q"))
    published: list[array[int]] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    budgets: list[str] = field(default_factory=list)
    grid: dict[tuple[str, int], Offer] = field(default_factory=dict)
    grid_capacity: int = 0
    grid_nodes: int = 0
    """The nodes that the grid was replayed on."""

    def add(self, one: ResourceResult) -> None:
        """Add a node."""
        self.capacity += one.capacity
        _add(self.used, one.used)
        _add(self.requested, one.requested)
        for number, rung in enumerate(one.rungs):
            if number == len(self.budgets):
                self.budgets.append(rung.budget)
                self.judged.append(Judged())
                self.published.append(array("q"))
            self.judged[number].add(rung.judged)
            _add(self.published[number], one.published[number])
        if one.grid:
            self.grid_capacity += one.capacity
            self.grid_nodes += 1
        for key, offer in one.grid.items():
            self.grid.setdefault(key, Offer()).add(offer)

    def figures(self, rung: int) -> Figures:
        """Under this violation budget."""
        return figures(self.capacity, self.used, self.requested, self.published[rung])

    def week(self, rung: int, start: int) -> list[WeekHour]:
        """By the hour of the week."""
        used: list[list[int]] = [[] for _ in range(WEEK)]
        published: list[list[int]] = [[] for _ in range(WEEK)]
        for at, value in enumerate(self.used):
            hour = (start // HOUR + at // STEPS_AN_HOUR + _EPOCH_HOUR) % WEEK
            if value != GAP:
                used[hour].append(value)
            if self.published and (offered := self.published[rung][at]) != GAP:
                published[hour].append(offered)
        size = self.capacity or 1
        return [
            WeekHour(
                hour=hour,
                used=mean(used[hour]) / size if used[hour] else None,
                published=mean(published[hour]) / size if published[hour] else None,
            )
            for hour in range(WEEK)
        ]


class PoolSums(Struct):
    """All that is known of a pool's nodes."""

    name: str
    nodes: int = 0
    cpu: Sums = field(default_factory=Sums)
    memory: Sums = field(default_factory=Sums)
    loads: list[Tally] = field(default_factory=list)

    def add(self, node: NodeResult) -> None:
        """Add a node."""
        self.nodes += 1
        self.cpu.add(node.cpu)
        self.memory.add(node.memory)
        while len(self.loads) < len(node.loads):
            self.loads.append(Tally())
        for into, tally in zip(self.loads, node.loads, strict=True):
            into.add(tally)


def add_series(all_series: Iterable[Sequence[int]]) -> array[int]:
    """The sum of several, step by step."""
    total = array("q")
    for series in all_series:
        _add(total, series)
    return total


def _add(total: array[int], more: Sequence[int]) -> None:
    """Step by step; a step that neither has stays a gap."""
    known = [value for value in more if value != GAP]
    usual = round(mean(known))
    first = next((at for at, value in enumerate(more) if value != GAP), len(more))
    if not total:
        total.extend(more)
        for at, value in enumerate(more):
            if value == GAP and known and at >= first:
                total[at] = usual
        return
    for at, value in enumerate(more):
        add = value if value != GAP else (usual if known and at >= first else GAP)
        if add != GAP:
            total[at] = add if total[at] == GAP else total[at] + add
