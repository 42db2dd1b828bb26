"""One table of scores for a fleet, of which no single node can move much.

At each edge the nodes' tails (the part of a node's scores at or above it) are averaged, after the most extreme ones on
either side have been set to the next less extreme: one in fifty nodes, and at least one. A node that lies therefore
counts as the most extreme of the others at most, and it weighs as one node whatever it claims to have seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from colocation.predict.scores import BUCKETS, FLEET_MINUTES, quantile, tails

FEWEST: Final = 3
"""Nodes; with fewer, a false report cannot be distinguished."""
MOST: Final = 500
"""Nodes that are looked at: more say nothing new, and cost the manager time."""
LEAST_MINUTES: Final = 60
"""Of scores, before a node counts."""
STEP: Final = 0.1
"""A table whose quantiles differ by this part is another one."""
_SHOWN: Final = (0.005, 0.02)
"""The budgets at which quantiles are compared."""


def merge(nodes: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Minutes in each bucket, together seven days at most; empty: too few nodes."""
    usable = [counts for counts in nodes if len(counts) <= BUCKETS and sum(counts) >= LEAST_MINUTES]
    if len(usable) < FEWEST:
        return ()
    usable = usable[:: -(-len(usable) // MOST)]
    count = len(usable)
    cut = min((count - 1) // 2, 1 + count // 50)
    means = []
    for column in zip(*map(tails, usable), strict=True):
        ordered = sorted(column)
        kept = ordered[cut : count - cut]
        means.append((sum(kept) + cut * (kept[0] + kept[-1])) / count)
    minutes = min(FLEET_MINUTES, sum(min(FLEET_MINUTES, sum(counts)) for counts in usable))
    table = [round(minutes * (mean - beyond)) for mean, beyond in zip(means, [*means[1:], 0.0], strict=True)]
    while table and not table[-1]:
        table.pop()
    return tuple(table)


def differs(table: Sequence[int], other: Sequence[int]) -> bool:
    """The tables lead to margins that differ by a tenth."""
    if not table or not other:
        return bool(table) != bool(other)
    for budget in _SHOWN:
        one, two = (quantile([*counts, *([0] * (BUCKETS - len(counts)))], budget) for counts in (table, other))
        if abs(one - two) > STEP * max(abs(one), abs(two)):
            return True
    return False
