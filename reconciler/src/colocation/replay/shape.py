"""What a trace is: use of pods, step by step, in percent of what each pod requests."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

REQUEST: Final = {"cpu": 4000, "memory": 16 * 2**30}
"""What each pod is taken to request."""
STEP_SECONDS: Final = 300.0

Pod = tuple[list[float], ...]
"""One column a resource: cpu, or cpu and memory."""


class Draw(Struct, frozen=True, kw_only=True):
    """How pods are put together into nodes, and what of their use counts."""

    pods_per_node: int = 20
    nodes: int = 40
    """At most this many, drawn by ``seed``; 0: all."""
    warm_up: int = 24
    """Steps to learn from before anything counts."""
    horizon: int = 12
    """Steps ahead for which a peak counts."""
    seed: int = 0
