"""How far a long command is, on stderr: a bar on a terminal, a line each five seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

_WIDTH: Final = 30


def progress(what: str, total: int) -> Callable[[int], None]:
    """To be called with how many are done."""
    began = last = time.monotonic()
    terminal = sys.stderr.isatty()

    def answer(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done != total and now - last < (0.1 if terminal else 5):
            return
        last = now
        if not terminal:
            sys.stderr.write(f"{done} of {total} {what}\n")
            return
        full = _WIDTH * done // max(1, total)
        left = f", {(now - began) / done * (total - done):.0f} s left" if 0 < done < total else ""
        sys.stderr.write(f"\r[{'#' * full}{'.' * (_WIDTH - full)}] {done} of {total} {what}{left}\x1b[K")
        if done == total:
            sys.stderr.write("\n")
        sys.stderr.flush()

    return answer
