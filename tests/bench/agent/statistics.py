# SPDX-License-Identifier: Apache-2.0
"""Medians of few measurements, and how far they can be trusted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median
from typing import Final

RESAMPLES: Final = 5000


def interval(values: Sequence[float], percent: float = 95) -> tuple[float, float]:
    """Bootstrap interval of the median: where it lies if the measurements themselves are drawn again."""
    draw = random.Random(1)
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    cut = int(RESAMPLES * (100 - percent) / 200)
    return medians[cut], medians[-1 - cut]


def spread(values: Sequence[float]) -> str:
    """Smallest to largest, in words."""
    return f"{min(values):.3g} to {max(values):.3g}"
