"""What is forecast: the expected peak, plus a margin that an account of the violation budget corrects.

The margin comes from `scores.py`. The account corrects what is left: what of the budget was not spent narrows the
margin slowly, what was overspent widens it slowly. Violations come in clusters: one burst breaks an hour of forecasts,
for which 0.5 % pays once in eight days. An account that reacts to a burst widens the margin when the burst is over.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from msgspec import Struct

BUDGETS: Final = (0.005, 0.01, 0.02, 0.05)
"""Those that are shown in simulations."""
_GAIN: Final = 0.2
"""How far an hour that is unspent or overspent moves the logarithm of the width."""
_NARROWEST, _WIDE, _WIDEST = -1.0, 0.1, 0.3
"""Logarithms of the width: with much unspent, after one bad hour, and after many."""
_DEBT, _MOST_DEBT = 0.05, -6.0
"""How fast it widens with each hour overdrawn beyond the first; more debt than this is let off."""
_HALF_LIFE: Final = 30 * 24 * 3600.0
"""What was saved is forgotten by halves; what was overdrawn is paid back."""
_SHOWN_HALF_LIFE: Final = 7 * 24 * 3600.0
"""Of the violations that are shown."""
_EXACT: Final = 1 - 1e-9


class KeptMargin(Struct, frozen=True, array_like=True):
    """A margin on disk."""

    spare: float
    spent: float
    weight: float


class Margin:
    """One resource of one node, one value a step."""

    def __init__(self, horizon: int = 60, step_seconds: float = 60.0) -> None:
        """``horizon``: steps for which a forecast must hold."""
        self._horizon = horizon
        self._keep = 0.5 ** (step_seconds / _HALF_LIFE)
        self._keep_shown = 0.5 ** (step_seconds / _SHOWN_HALF_LIFE)
        self._predicted: deque[float] = deque(maxlen=horizon)
        self._spare = 0.0
        """What is unspent, in horizons (negative: overdrawn)."""
        self._spent = self._weight = 0.0

    @property
    def violations(self) -> float:
        """Part of the last weeks in which the forecast was too small."""
        return min(1.0, self._spent / self._weight) if self._weight else 0.0

    @property
    def width(self) -> float:
        """By what the account multiplies the margin."""
        if self._spare >= 0:
            return math.exp(max(_NARROWEST, -_GAIN * self._spare))
        # One bad hour says little of the next; several, overdrawn, do.
        return math.exp(min(_WIDEST, min(_WIDE, -_GAIN * self._spare) + _DEBT * max(0.0, -self._spare - 1)))

    def step(self, use: float, centre: float, margin: float, budget: float) -> float:
        """The forecast now, never below the present use. Past forecasts that were too small spend budget."""
        broken, least = 0, use * _EXACT
        if min(self._predicted, default=math.inf) < least:  # seldom: looking at each one costs ten times as much
            for at, predicted in enumerate(self._predicted):
                if predicted < least:
                    self._predicted[at] = math.inf  # once is enough
                    broken += 1
        saved = self._spare * (self._keep if self._spare > 0 else 1.0)
        self._spare = max(_MOST_DEBT, saved + (budget - broken) / self._horizon)
        self._spent = self._spent * self._keep_shown + broken
        self._weight = self._weight * self._keep_shown + 1
        predicted = max(use, centre + self.width * margin)
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
