"""Latencies as the load generator tells them: counts in buckets 5 % wide."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable

GROWTH = 1.05


def read(lines: Iterable[str]) -> list[tuple[float, Counter[int]]]:
    """(time, buckets) of each line that the generator finished writing; others are skipped."""
    result = []
    for line in lines:
        try:
            given = json.loads(line)
            result.append((float(given["at"]), Counter({int(k): int(v) for k, v in given["buckets"].items()})))
        except (ValueError, KeyError, TypeError):
            continue
    return result


def quantile(buckets: Counter[int], q: float) -> float | None:
    """The q-quantile in milliseconds; None without a request."""
    total = buckets.total()
    if not total:
        return None
    rank, seen = math.ceil(q * total), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return float(GROWTH**bucket * 1000)
    raise AssertionError("unreachable")
