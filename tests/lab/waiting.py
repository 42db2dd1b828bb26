# SPDX-License-Identifier: Apache-2.0
"""Waiting in tests for what takes a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T | None], seconds: float = 10.0, what: str = "", every: float = 0.05) -> T:
    """Look until the answer is true, and return it; a look that costs is taken less often than every so many seconds.

    What ``look`` raises is an answer that is not true yet, but a failed assertion ends the wait.
    Raises AssertionError after ``seconds``: what did not happen, and the last answer.
    """
    end = time.monotonic() + seconds
    last: object = None
    while True:
        began = time.monotonic()
        try:
            if answer := look():
                return answer
            last = answer
        except AssertionError:
            raise
        except Exception as error:
            last = repr(error)
        now = time.monotonic()
        if now >= end:
            raise AssertionError(f"not within {seconds:g} s: {what} (last: {last})")
        time.sleep(max(every, min(1.0, 4 * (now - began))))
