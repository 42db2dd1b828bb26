"""The margin above the expected peak that spends a stated part of the time being too small, and no more.

It begins where errors of the Laplace kind would have to have it, with something for heavier tails the smaller the
budget is. From then on it follows the account: what of the budget was not spent narrows it slowly (by at most 3.5 x the
budget an hour: 3.5 % at 1 %), and a violation widens it at once: by up to a half for a bad hour, and further the more
hours are overdrawn. What was saved is forgotten by halves a day, what was overdrawn is paid back.
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from typing import Final

from msgspec import Struct

BUDGETS: Final = (0.005, 0.01, 0.02, 0.05)
"""Those that are shown in simulations."""
_TAIL: Final = 0.1
_GAIN: Final = 5.0
_AIM: Final = 0.7
"""Part of the budget that is aimed at: violations come in clusters, so what is over has to be kept for the next."""
_NARROWEST, _WIDE, _WIDEST = -1.0, 0.4, 1.5
"""Logarithms of the width: at peace, after one bad hour, and after many."""
_DEBT, _MOST_DEBT = 1.5, -3.0
"""How fast it widens with each hour overdrawn beyond the first; more debt than this is let off."""
_HALF_LIFE: Final = 24 * 3600.0
_EXACT: Final = 1 - 1e-9


class KeptMargin(Struct, frozen=True, array_like=True):
    """A margin on disk."""

    spare: float
    spent: float
    weight: float


@lru_cache(64)
def factor(budget: float) -> float:
    """Spreads above the expected peak to begin with. ``budget``: a part of the time, above 0."""
    tail = max(0.0, math.log(0.05 / budget))
    return max(0.0, math.log(0.5 / budget)) / math.sqrt(2) * (1 + _TAIL * tail)


class Margin:
    """One resource of one node, one value a step."""

    def __init__(self, horizon: int = 60, step_seconds: float = 60.0) -> None:
        """``horizon``: steps for which a forecast must hold."""
        self._horizon = horizon
        self._keep = 0.5 ** (step_seconds / _HALF_LIFE)
        self._predicted: deque[float] = deque(maxlen=horizon)
        self._spare = 0.0
        """What is unspent, in horizons (negative: overdrawn)."""
        self._spent = self._weight = 0.0

    @property
    def violations(self) -> float:
        """Part of the last days in which the forecast was too small."""
        return min(1.0, self._spent / self._weight) if self._weight else 0.0

    @property
    def width(self) -> float:
        """How much wider than at the beginning it is."""
        if self._spare >= 0:
            return math.exp(max(_NARROWEST, -_GAIN * self._spare))
        # One bad hour says little of the next; several, overdrawn, do.
        return math.exp(min(_WIDEST, min(_WIDE, -_GAIN * self._spare) + _DEBT * max(0.0, -self._spare - 1)))

    def step(self, use: float, centre: float, spread: float, budget: float) -> float:
        """The forecast now, never below the present use. Past forecasts that were too small spend budget."""
        broken, least = 0, use * _EXACT
        if min(self._predicted, default=math.inf) < least:  # seldom: looking at each one costs ten times as much
            for at, predicted in enumerate(self._predicted):
                if predicted < least:
                    self._predicted[at] = math.inf  # once is enough
                    broken += 1
        saved = self._spare * (self._keep if self._spare > 0 else 1.0)
        self._spare = max(_MOST_DEBT, saved + (_AIM * budget - broken) / self._horizon)
        self._spent = self._spent * self._keep + broken
        self._weight = self._weight * self._keep + 1
        predicted = max(use, centre + self.width * factor(budget) * spread)
        self._predicted.append(predicted)
        return predicted

    def shift(self, by: float) -> None:
        """Shift the history by the use of pods that started or ended."""
        self._predicted = deque((predicted + by for predicted in self._predicted), maxlen=self._horizon)

    def keep(self) -> KeptMargin:
        """For the disk."""
        return KeptMargin(self._spare, self._spent, self._weight)

    def restore(self, kept: KeptMargin) -> None:
        """From the disk. Raises ValueError for garbage."""
        if not (abs(kept.spare) < 1e6 and 0 <= kept.spent < 1e9 and 0 <= kept.weight < 1e9):
            raise ValueError("not a margin")
        self._spare, self._spent, self._weight = kept.spare, kept.spent, kept.weight
