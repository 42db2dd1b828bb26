"""Exponential back-off with jitter."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays in seconds that double from ``first`` to ``most``, each shortened at random by up to half.

    The jitter keeps clients that lost the same server from coming back in step.
    """

    def __init__(self, first: float = 0.5, most: float = 30.0, rand: Callable[[], float] = random.random) -> None:
        self._first, self._most, self._rand = first, most, rand
        self.failures = 0

    def next(self, at_least: float = 0.0) -> float:
        """Count one more failure; seconds to wait now, never below ``at_least`` (a Retry-After)."""
        whole = min(self._most, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return max(at_least, whole * (0.5 + self._rand() / 2))

    def reset(self) -> None:
        """It worked: the next failure starts small again."""
        self.failures = 0
