"""Wrong tokens a minute and address."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

MOST: Final = 5
WITHIN_SECONDS: Final = 60.0
MOST_ADDRESSES: Final = 4096


class Tries:
    """Counts them. Any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: dict[str, deque[float]] = {}

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0: it may."""
        now = self._clock()
        with self._lock:
            wrong = self._wrong.get(address)
            if wrong is None or len(wrong) < MOST:
                return 0
            left = wrong[0] + WITHIN_SECONDS - now
        return max(0, int(left) + 1) if left > 0 else 0

    def wrong(self, address: str) -> None:
        """One more."""
        with self._lock:
            kept = self._wrong.pop(address, None) or deque(maxlen=MOST)
            kept.append(self._clock())
            self._wrong[address] = kept
            while len(self._wrong) > MOST_ADDRESSES:
                del self._wrong[next(iter(self._wrong))]
