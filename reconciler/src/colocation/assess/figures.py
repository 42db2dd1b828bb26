"""A series in a few figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

GAP: Final = -1
"""In a series: not measured, or not counted."""


class Figures(Struct, kw_only=True, rename="camel"):
    """One resource of a node, a pool or the cluster; millicores or bytes."""

    capacity: int = 0
    requested: float = 0.0
    """By online pods, on average."""
    used: float = 0.0
    used_p95: int = 0
    used_peak: int = 0
    published: float = 0.0
    """Under the recommendation, on average."""
    published_p5: int = 0
    """At least this much for 95 % of the time."""
    published_p95: int = 0


def figures(capacity: int, used: Sequence[int], requested: Sequence[int], published: Sequence[int]) -> Figures:
    """Of series that may have gaps."""
    known = sorted(value for value in used if value != GAP)
    offered = sorted(value for value in published if value != GAP)
    return Figures(
        capacity=capacity,
        requested=mean(requested),
        used=mean(known),
        used_p95=rank(known, 95),
        used_peak=known[-1] if known else 0,
        published=mean(offered),
        published_p5=rank(offered, 5),
        published_p95=rank(offered, 95),
    )


def rank(ordered: Sequence[int], percent: int) -> int:
    """Nearest rank of values in rising order; 0 of nothing."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0


def mean(values: Sequence[int]) -> float:
    """0 of nothing."""
    return sum(values) / len(values) if values else 0.0
