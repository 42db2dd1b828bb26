"""By how many spreads the peak that came was above the one that was expected, and how often: the margin's scale.

A score is (peak that came - expected peak) / spread. The multiple of the spread that a share of the scores exceeds is
the margin that is exceeded in that share of time, whatever the shape of the errors (split conformal prediction). One
node sees a 1-in-200 hour once in eight days, so its own scores are mixed with those of the fleet, which weigh as seven
days of its own at most, and with a small prior, measured on usage that is named in docs/prediction.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

FINE: Final = 20
"""Buckets of a quarter of a spread, the first one open below: up to four spreads."""
_GROWTH: Final = 1.15
_COARSE: Final = 18
"""Then each ends 1.15 times as high as the one before; the last one holds everything above."""
EDGES: Final = tuple([-1 + at / 4 for at in range(FINE)] + [4 * _GROWTH**at for at in range(_COARSE + 1)])
"""Where buckets begin. They are in reports and specs: other edges need other fields."""
BUCKETS: Final = FINE + _COARSE
DAY: Final = 24 * 60.0
HALF_LIFE: Final = 14 * DAY
"""Minutes after which a score weighs half."""
_SKIPPED: Final = 150.0
"""Minutes of scores left out at first: the forecast has judged itself too little for its spread to mean much."""
_PRIOR_MINUTES: Final = 2 * DAY
_PRIOR: Final = (
    15690, 11100, 14860, 15220, 12780, 9090, 5960, 4060, 2870, 2090, 1580, 1150, 810, 630, 500, 370, 290, 200, 160, 120,
    200, 120, 70, 50, 30, 10, 5, 3, 2,
)  # fmt: skip
_PRIOR_TOTAL: Final = sum(_PRIOR)
PRIOR: Final = tuple(_PRIOR_MINUTES * count / _PRIOR_TOTAL for count in [*_PRIOR, *([0] * (BUCKETS - len(_PRIOR)))])
"""Minutes in each bucket that are believed beforehand."""
FLEET_MINUTES: Final = 7 * DAY
"""The fleet's scores weigh at most this."""
_FIRST, _FIRST_MINUTES = 0.5, DAY / 2
"""Wider by this part at first, fading away over this time: a forecast's first hours are its worst."""


class KeptScores(Struct, frozen=True, array_like=True):
    """Scores on disk: minutes in each bucket as of then."""

    counts: tuple[float, ...]
    seen: float


def bucket(score: float) -> int:
    """Index of the bucket that holds a score."""
    if score < 4:
        return max(0, int((score + 1) * 4))
    return min(BUCKETS - 1, FINE + int(math.log(min(score, 1e9) / 4) / math.log(_GROWTH) + 1e-9))


def quantile(counts: Sequence[float], budget: float) -> float:
    """The score that a part ``budget`` of the counts exceeds, between two edges."""
    target = budget * sum(counts)
    above = 0.0
    for at in range(BUCKETS - 1, -1, -1):
        beyond = above + counts[at]
        if beyond > target or at == 0:
            part = min(1.0, (beyond - target) / counts[at]) if counts[at] > 0 else 0.0
            return EDGES[at] + part * (EDGES[at + 1] - EDGES[at])
        above = beyond
    raise AssertionError("unreachable")


class Scores:
    """One resource of one node."""

    def __init__(self, step_seconds: float = 60.0) -> None:
        self._minutes = step_seconds / 60
        self._growth = 2.0 ** (self._minutes / HALF_LIFE)
        self._unit = 1.0
        """What a minute of now weighs in ``_own``: growing it is cheaper than letting all buckets decay."""
        self._own = [0.0] * BUCKETS
        self._base: tuple[float, ...] = PRIOR
        self.fleet: Sequence[int] = ()
        self.seen = 0.0
        """Minutes of scores taken, those left out at first included."""

    def follow(self, fleet: Sequence[int]) -> None:
        """Take the fleet's table: minutes in each bucket; more than seven days of them weigh as seven days."""
        self.fleet = fleet
        total = sum(fleet)
        if not total > 0 or len(fleet) > BUCKETS:
            self._base = PRIOR
            return
        scale = min(1.0, FLEET_MINUTES / total)
        self._base = tuple(prior + scale * (fleet[at] if at < len(fleet) else 0) for at, prior in enumerate(PRIOR))

    def add(self, score: float) -> None:
        """Take the score that a step's judgement brought."""
        self.seen += self._minutes
        if self.seen <= _SKIPPED:
            return
        self._unit *= self._growth
        if self._unit > 1e12:
            self._own = [count / self._unit for count in self._own]
            self._unit = 1.0
        self._own[bucket(score)] += self._minutes * self._unit

    def multiple(self, budget: float) -> float:
        """Spreads above the expected peak that a part ``budget`` of the time exceeds."""
        return self.multiples((budget,))[0]

    def multiples(self, budgets: Sequence[float]) -> list[float]:
        """The same for several budgets."""
        mixed = [own / self._unit + base for own, base in zip(self._own, self._base, strict=True)]
        first = _FIRST * math.exp(-max(0.0, self.seen - _SKIPPED) / _FIRST_MINUTES)
        return [max(0.0, quantile(mixed, budget)) * (1 + first) for budget in budgets]

    @property
    def counts(self) -> tuple[int, ...]:
        """For the report: whole minutes in each bucket, old ones weighing less; without the zeros at the end."""
        whole = [round(own / self._unit) for own in self._own]
        while whole and not whole[-1]:
            whole.pop()
        return tuple(whole)

    def keep(self) -> KeptScores:
        """For the disk."""
        return KeptScores(tuple(round(own / self._unit, 2) for own in self._own), self.seen)

    def restore(self, kept: KeptScores) -> None:
        """From the disk. Raises ValueError for garbage; nothing is taken then."""
        if len(kept.counts) != BUCKETS or not all(0 <= value < 1e9 for value in (*kept.counts, kept.seen)):
            raise ValueError("not scores")
        self._own, self._unit, self.seen = list(kept.counts), 1.0, kept.seen


def tails(counts: Sequence[int]) -> list[float]:
    """The part of the counts that lies at or above each edge."""
    padded = [*counts, *([0] * (BUCKETS - len(counts)))]
    total = sum(padded)
    return [above / total for above in list(accumulate(reversed(padded)))[::-1]]
