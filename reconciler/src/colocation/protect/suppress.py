"""The CPU that all best-effort pods together may use now."""

from __future__ import annotations

from typing import Final

from colocation.protect.sample import up

GROW_PERCENT: Final = 10
"""Part of the node by which the quota may rise per second: offline work must not refill every short online pause."""


def total(
    *,
    capacity: int,
    target_percent: int,
    min_percent: int,
    node_use: float,
    be_use: float,
    before: int | None,
    seconds: float,
) -> int:
    """Millicores for all best-effort pods together.

    ``capacity x target_percent - online use``, online being whatever of the node's use is not best effort; never
    below ``min_percent`` of the node. Down at once; up by at most 10 % of the node a second since ``before``
    (None: there was none, so the first value is taken as it is).
    """
    floor = capacity * min_percent // 100
    wanted = max(floor, capacity * target_percent // 100 - online_use(node_use, be_use))
    if before is None or wanted <= before:
        return wanted
    grown = before + int(capacity * GROW_PERCENT * max(0.0, seconds) / 100)
    return max(floor, min(wanted, grown))


def online_use(node_use: float, be_use: float) -> int:
    """Millicores of all that is not best effort, rounded up once: each pod rounded would shift the sum."""
    return max(0, up(node_use - be_use))
