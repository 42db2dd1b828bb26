"""Weighted max-min split of offline CPU among best-effort pods, in integer millicores."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

MIN_WEIGHT = 10
"""A pod that asked for no be-cpu is not starved altogether."""


class Claim(Struct, frozen=True, gc=False):
    """One pod's claim. ``limit``: never more than this; ``need``: what it would use now (None: all it can get)."""

    uid: str
    weight: int
    limit: int
    need: int | None = None


def split(total: int, claims: Sequence[Claim]) -> dict[str, int]:
    """Share ``total`` millicores; the sum is exactly min(total, all limits).

    First everybody is filled up to what it needs, in proportion to the weights (max-min: who needs less than its
    part leaves the rest to the others). Only what is left when all needs are met is spread up to the limits, so
    that nothing lies idle while a pod is held back, and a pod that wakes up finds something at once.
    """
    total = max(0, total)
    needs = {c.uid: max(0, c.limit if c.need is None else min(c.need, c.limit)) for c in claims}
    shares = _fill(total, {c.uid: c.weight for c in claims}, needs)
    left = total - sum(shares.values())
    if left > 0:
        headroom = {c.uid: max(0, c.limit) - shares[c.uid] for c in claims}
        for uid, extra in _fill(left, {c.uid: c.weight for c in claims}, headroom).items():
            shares[uid] += extra
    return shares


def _fill(total: int, weights: dict[str, int], caps: dict[str, int]) -> dict[str, int]:
    """Water-filling: parts in proportion to the weights, none above its cap; sums to min(total, all caps)."""
    shares = dict.fromkeys(caps, 0)
    # In the order in which pods reach their cap, each in turn takes its part of what is left: one pass is enough.
    order = sorted(caps, key=lambda uid: (caps[uid] / max(weights[uid], MIN_WEIGHT), uid))
    weight_left = sum(max(weights[uid], MIN_WEIGHT) for uid in order)
    for uid in order:
        weight = max(weights[uid], MIN_WEIGHT)
        shares[uid] = min(caps[uid], total * weight // weight_left)
        total -= shares[uid]
        weight_left -= weight
    # The last in order takes all that is left (its part is the whole), so rounding loses nothing below its cap;
    # what its cap refuses goes to those below their cap, a millicore or so each.
    for uid in reversed(order):
        if total <= 0:
            break
        extra = min(total, caps[uid] - shares[uid])
        shares[uid] += extra
        total -= extra
    return shares
