"""What a whole node's use will peak at within the horizon: the peak that is expected, and how far that tends to be off.

Six simple guesses (use now, means of three lengths, the trend, the peak of the same hour a day ago) are each corrected
by how far they were off so far, and weighed by their errors: work that wavers about a level is forecast by its long
mean, work that moves by its level and trend, work of every night by the night before. A guess is judged when the
horizon after it has passed, by the peak that came.

The spread is the node's own error drawn towards a fixed part of its size: one day of hours that overlap says too little
about a node for its own error to be trusted alone (docs/prediction.md has the measurements).
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from typing import Final

from msgspec import Struct

GUESSES: Final = 6
_BLOCKS: Final = 12
"""Of a horizon; a day is remembered as the peak of each."""
HALF_LIFE: Final = 12 * 3600.0
"""Half-life of errors, and of the longest mean."""
_QUICK, _HOUR = 900.0, 3600.0
_SHARPNESS: Final = 4
"""A guess weighs by its squared error to the power of minus this."""
_PRIOR_PART: Final = 0.5
"""What is believed beforehand weighs like this part of a horizon of errors."""
_SIZE_PART: Final = 0.02
_OWN: Final = 0.75
"""The spread is own error ** this x (size x 0.02) ** the rest."""
_LEAST_PART: Final = 0.002
"""Use that never moved may move by this part of the size."""


class KeptMean(Struct, frozen=True, array_like=True):
    """A decaying mean on disk."""

    mean: float
    variance: float
    weight: float


class KeptForecast(Struct, frozen=True, array_like=True):
    """A forecast on disk. Guesses that were not judged yet are not kept: an hour's.

    What was added later stands at the end, so that older versions can read it, and has a default.
    """

    means: tuple[KeptMean, ...]
    errors: tuple[float, ...]
    squares: tuple[float, ...]
    weight: float
    missed: float
    judged: int
    day: tuple[float, ...] = ()
    """The peaks of the last day's blocks, the oldest first."""
    day_error: float = 0.0
    day_square: float = 0.0


class Mean:
    """Mean and variance of which old values weigh ever less."""

    __slots__ = ("_keep", "mean", "variance", "weight")

    def __init__(self, half_life: float, step_seconds: float) -> None:
        self._keep = 0.5 ** (step_seconds / half_life)
        self.mean = self.variance = self.weight = 0.0

    def add(self, value: float) -> None:
        """One value a step."""
        self.weight = self.weight * self._keep + 1
        part = 1 / self.weight
        away = value - self.mean
        self.mean += part * away
        self.variance = (1 - part) * (self.variance + part * away * away)

    def keep(self) -> KeptMean:
        """For the disk."""
        return KeptMean(self.mean, self.variance, self.weight)

    def restore(self, kept: KeptMean) -> None:
        """From the disk; what is in it was checked by Forecast."""
        self.mean, self.variance, self.weight = kept.mean, kept.variance, kept.weight


class Forecast:
    """One resource of one node, one value a step."""

    def __init__(self, horizon: int = 60, step_seconds: float = 60.0) -> None:
        """``horizon``: steps."""
        self.horizon = horizon
        self.centre = self.spread = 0.0
        """The peak that is expected, and its spread, as of the last step."""
        self.judged = 0
        """Guesses that the horizon has judged."""
        self.score: float | None = None
        """By how many spreads the peak that has just come was above the one expected a horizon ago."""
        self._means = (Mean(_QUICK, step_seconds), Mean(_HOUR, step_seconds), Mean(HALF_LIFE, step_seconds))
        self._keep = 0.5 ** (step_seconds / HALF_LIFE)
        self._recent: deque[float] = deque(maxlen=horizon)
        self._pending: deque[tuple[tuple[float, ...], float, float]] = deque()
        self._block = max(1, horizon // _BLOCKS)
        self._in_block, self._block_peak = 0, 0.0
        self._blocks = round(24 * 3600 / (step_seconds * self._block))
        self._day: deque[float] = deque(maxlen=self._blocks)
        self._errors, self._squares = [0.0] * GUESSES, [0.0] * GUESSES
        self._weight = self._missed = 0.0

    @property
    def ready(self) -> bool:
        """A horizon of guesses has been judged."""
        return self.judged >= self.horizon

    def step(self, use: float, size: float) -> None:
        """Take what is used now; ``size``: of the node, in the same unit."""
        self._recent.append(use)
        for mean in self._means:
            mean.add(use)
        self._remember(use)
        self.score = None
        if len(self._pending) == self.horizon:
            self._judge(*self._pending.popleft(), peak=max(self._recent))
        quick, hour, day = self._means
        prior = math.sqrt((day.variance + hour.variance) / 2) + _LEAST_PART * size
        guesses = (use, quick.mean, hour.mean, day.mean, 2 * quick.mean - hour.mean, self._yesterday(use))
        believed = _PRIOR_PART * self.horizon
        total = self._weight + believed
        sure = centre = 0.0
        for guess, error, square in zip(guesses, self._errors, self._squares, strict=True):
            bias = (error + believed * prior) / total
            wrong = (square + 2 * believed * prior * prior) / total - bias * bias
            weight = (prior * prior / max(wrong, 1e-6 * prior * prior)) ** _SHARPNESS if prior > 0 else 1.0
            sure += weight
            centre += weight * (guess + bias)
        self.centre = centre / sure
        own = math.sqrt((self._missed + believed * prior * prior) / total)
        self.spread = own**_OWN * (_SIZE_PART * size) ** (1 - _OWN)
        self._pending.append((guesses, self.centre, self.spread))

    def shift(self, by: float) -> None:
        """Shift the history by the use of pods that started or ended, as if they had always (or never) run."""
        for mean in self._means:
            mean.mean += by
        self._recent = deque((value + by for value in self._recent), maxlen=self.horizon)
        self._pending = deque(
            (tuple(guess + by for guess in guesses), centre + by, spread) for guesses, centre, spread in self._pending
        )
        self._day = deque((peak + by for peak in self._day), maxlen=self._blocks)
        self._block_peak += by

    def keep(self) -> KeptForecast:
        """For the disk."""
        means = tuple(mean.keep() for mean in self._means)
        *errors, day_error = self._errors
        *squares, day_square = self._squares
        return KeptForecast(
            means,
            tuple(errors),
            tuple(squares),
            self._weight,
            self._missed,
            min(self.judged, self.horizon),
            tuple(round(peak, 2) for peak in self._day),
            day_error,
            day_square,
        )

    def restore(self, kept: KeptForecast) -> None:
        """From the disk. Raises ValueError for garbage; nothing is taken then."""
        lengths = len(kept.means), len(kept.errors), len(kept.squares)
        if lengths != (len(self._means), GUESSES - 1, GUESSES - 1) or len(kept.day) > self._blocks:
            raise ValueError("not a forecast")
        positive = [*kept.squares, kept.day_square, kept.weight, kept.missed, float(kept.judged)]
        positive += [value for mean in kept.means for value in (mean.variance, mean.weight)]
        signed = [*kept.errors, kept.day_error, *kept.day, *(mean.mean for mean in kept.means)]
        if not all(0 <= value < 1e30 for value in positive) or not all(abs(value) < 1e18 for value in signed):
            raise ValueError("not a forecast")
        for mean, row in zip(self._means, kept.means, strict=True):
            mean.restore(row)
        if kept.day:
            self._errors, self._squares = [*kept.errors, kept.day_error], [*kept.squares, kept.day_square]
        else:  # of an older version: until there is a day, the last guess is the first
            self._errors, self._squares = [*kept.errors, kept.errors[0]], [*kept.squares, kept.squares[0]]
        self._day = deque(kept.day, maxlen=self._blocks)
        self._weight, self._missed, self.judged = kept.weight, kept.missed, kept.judged

    def _remember(self, use: float) -> None:
        """Keep each block's peak for a day."""
        self._block_peak = max(use, self._block_peak) if self._in_block else use
        self._in_block += 1
        if self._in_block == self._block:
            self._day.append(self._block_peak)
            self._in_block = 0

    def _yesterday(self, use: float) -> float:
        """The peak, a day ago, of the horizon that begins now; the use of now, before there is a whole day."""
        return max(islice(self._day, _BLOCKS)) if len(self._day) == self._blocks else use

    def _judge(self, guesses: tuple[float, ...], centre: float, spread: float, *, peak: float) -> None:
        for number, guess in enumerate(guesses):
            error = peak - guess
            self._errors[number] = self._errors[number] * self._keep + error
            self._squares[number] = self._squares[number] * self._keep + error * error
        self._missed = self._missed * self._keep + (peak - centre) ** 2
        self._weight = self._weight * self._keep + 1
        self.judged += 1
        self.score = (peak - centre) / spread if spread > 0 else 0.0
