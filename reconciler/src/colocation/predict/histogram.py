"""A histogram that forgets: exponential buckets, each sample's weight halves every half-life.

Bucket 0 is [0, first), each next one is 1.05 times as wide as the one before, so a percentile, reported as its bucket's
end, is never below the true one and at most one bucket above it. Buckets are kept up to the highest one that was ever
hit: at most 176 (cpu) or 238 (memory) doubles of 8 bytes.
"""

from __future__ import annotations

import math
from array import array
from typing import Final

from msgspec import Struct

GROWTH: Final = 1.05
_SHIFT: Final = 50.0
"""Half-lives after which weights are brought back to the present, long before a double overflows."""
_STEPS: Final = 65535
"""A kept weight is a 16 bit part of the heaviest bucket's."""


class Scale(Struct, frozen=True):
    """Where buckets begin and end, and how fast a sample is forgotten."""

    first: int
    """Width of the first bucket, the finest resolution."""
    most: int
    """Everything above counts as this much."""
    half_life: float
    """Seconds."""

    def bucket(self, value: float) -> int:
        """Index of the bucket that holds ``value``."""
        value = min(max(0.0, value), float(self.most))
        return int(math.log1p(value * (GROWTH - 1) / self.first) / math.log(GROWTH) + 1e-9)

    def end(self, index: int) -> int:
        """Where the bucket ends, rounded up."""
        return math.ceil(self.first * (GROWTH ** (index + 1) - 1) / (GROWTH - 1))

    @property
    def buckets(self) -> int:
        """The most buckets there can be."""
        return self.bucket(self.most) + 1


CPU: Final = Scale(first=10, most=1_024_000, half_life=12 * 3600.0)
"""10m to 1024 cores. Half a day: load follows the day, and suppression corrects a mistake within a second."""
MEMORY: Final = Scale(first=2**20, most=2**41, half_life=24 * 3600.0)
"""1 MiB to 2 TiB. A day: memory that was needed yesterday is likely to be needed today, and cannot be taken back."""


class StoredHistogram(Struct, frozen=True, array_like=True):
    """A histogram as it is written to disk: relative to the moment of writing, so no clock has to agree."""

    scale: float
    """Weight of the heaviest bucket, as of then."""
    parts: bytes
    """Each bucket's 16 bit part of it, low byte first."""
    seconds: float


class Histogram:
    """One metric of one pod. Times are seconds on any one clock, in any order."""

    __slots__ = ("_reference", "_weights", "scale", "seconds")

    def __init__(self, scale: Scale) -> None:
        """Empty."""
        self.scale = scale
        self.seconds = 0.0
        """How long it has been fed."""
        self._weights = array("d")
        self._reference: float | None = None

    def add(self, at: float, value: float, seconds: float = 0.0) -> None:
        """Add one value observed at ``at``, which represents ``seconds`` of observation."""
        if self._reference is None:
            self._reference = at
        age = (at - self._reference) / self.scale.half_life
        if age > _SHIFT:
            self._shift(at)
            age = 0.0
        index = self.scale.bucket(value)
        if index >= len(self._weights):
            self._weights.extend([0.0] * (index + 1 - len(self._weights)))
        self._weights[index] += 2.0 ** max(age, -1000.0)
        self.seconds += seconds

    @property
    def mean(self) -> float:
        """A percentile of all values, reported as its bucket's end; 0 while empty."""
        total = sum(self._weights)
        ends = sum(weight * self.scale.end(index) for index, weight in enumerate(self._weights) if weight)
        return ends / total if total > 0 else 0.0

    def percentile(self, percent: float) -> int | None:
        """End of the first bucket up to which at least ``percent`` of the weight lies; None while empty."""
        weights = self._weights
        if not weights:
            return None
        # The small term: an exact share, such as 9 of 10 at 90 %, is reached in spite of rounding.
        above = sum(weights) * (1 - percent / 100 + 1e-9)
        index = len(weights) - 1
        above -= weights[index]
        while index > 0 and (above >= 0 or weights[index] == 0):
            index -= 1
            above -= weights[index]
        return self.scale.end(index)

    def keep(self, now: float) -> StoredHistogram:
        """For the disk."""
        heaviest = max(self._weights, default=0.0)
        if heaviest <= 0 or self._reference is None:
            return StoredHistogram(0.0, b"", self.seconds)
        parts = array("H", [math.ceil(weight / heaviest * _STEPS - 0.5) for weight in self._weights])
        while parts and not parts[-1]:
            parts.pop()
        decayed = heaviest * 2.0 ** max(-1000.0, min(0.0, (self._reference - now) / self.scale.half_life))
        return StoredHistogram(decayed, b"".join(part.to_bytes(2, "little") for part in parts), self.seconds)

    @classmethod
    def restore(cls, scale: Scale, kept: StoredHistogram, now: float) -> Histogram:
        """From the disk; ``now``: the moment of writing on the new clock. Raises ValueError for garbage."""
        count, odd = divmod(len(kept.parts), 2)
        sane = 0 <= kept.scale < 1e30 and 0 <= kept.seconds < 1e12
        if odd or count > scale.buckets or not sane:
            raise ValueError("not a histogram")
        histogram = cls(scale)
        histogram.seconds = kept.seconds
        if count:
            histogram._reference = now
            unit = kept.scale / _STEPS
            histogram._weights = array(
                "d", [int.from_bytes(kept.parts[i : i + 2], "little") * unit for i in range(0, 2 * count, 2)]
            )
        return histogram

    def _shift(self, to: float) -> None:
        """Make ``to`` the moment whose weight is 1; buckets that weigh nothing any more are let go."""
        factor = 2.0 ** max(-1000.0, ((self._reference or 0.0) - to) / self.scale.half_life)
        self._weights = array("d", [weight * factor for weight in self._weights])
        self._reference = to
        while self._weights and self._weights[-1] < 1e-9:
            self._weights.pop()

    def __len__(self) -> int:
        """Buckets held."""
        return len(self._weights)
