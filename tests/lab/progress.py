# SPDX-License-Identifier: Apache-2.0
"""What the person at the terminal sees: one line per step, with its time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BEGAN = time.monotonic()
_TICK_SECONDS = 30.0


def say(text: str) -> None:
    """Print one line, stamped with the seconds since the program began."""
    print(f"[{time.monotonic() - _BEGAN:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str, estimate: str = "") -> Iterator[None]:
    """Announce a step, show every half minute that it lives, say how long it took."""
    say(f"{text} ({estimate}) ..." if estimate else f"{text} ...")
    began = time.monotonic()
    over = threading.Event()

    def tick() -> None:
        while not over.wait(_TICK_SECONDS):
            say(f"  ... still {text}, {time.monotonic() - began:.0f} s")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
        took = time.monotonic() - began
    finally:
        over.set()
        ticker.join()
    if took >= 1.0:
        say(f"  {text}: {took:.1f} s")
