# SPDX-License-Identifier: Apache-2.0
"""How soon the batch pods' quotas fall when online work rises: a pod that computes on two threads is thawed."""

from __future__ import annotations

import random
import time
from typing import Final

from msgspec import Struct

from tests.bench.agent import pods
from tests.bench.agent.node import BenchNode, freeze, read, thaw
from tests.lab.progress import say

TRIALS: Final = 30
CALM: Final = 5.0
"""Seconds between two rises (CPU comes back at a tenth of the node a second), and a random one more: rounds are met at
any moment."""
WATCH: Final = 2.0
STEP: Final = 0.005


class Trial(Struct):
    """Seconds from the rise until the quotas together were lowered, and until they were as low as they got."""

    first: float
    whole: float
    before: int
    after: int


def run(node: BenchNode, trials: int = TRIALS) -> list[Trial]:
    """So many rises, each from a calm node with batch work that takes all it may."""
    node.mode("auto")
    image = node.image()
    batch = node.run(pods.batch("batch", image, be=True), selector="app=batch", pods=pods.BATCH)
    surge = node.run(pods.surge(image), selector="app=surge", pods=1)
    draw = random.Random(1)
    thaw(batch)
    freeze(surge)
    done = []
    try:
        with node.alone():
            for number in range(trials):
                time.sleep(CALM + draw.random())
                done.append(_rise(batch, surge))
                result = done[-1]
                times = f"first {result.first:5.2f} s  whole {result.whole:5.2f} s"
                say(f"  {number:3} {times}  {result.before} -> {result.after} us")
    finally:
        freeze(batch)
        thaw(surge)
        node.kubectl("delete", "pod", "-n", pods.NAMESPACE, "surge", "--wait=false", check=False)
    return done


def _rise(batch: list[str], surge: list[str]) -> Trial:
    before = _quotas(batch)
    seen = []
    began = time.monotonic()
    thaw(surge)
    try:
        while (now := time.monotonic() - began) < WATCH:
            seen.append((now, _quotas(batch)))
            time.sleep(STEP)
    finally:
        freeze(surge)
    return judge(before, seen)


def judge(before: int, seen: list[tuple[float, int]]) -> Trial:
    """From what was read: a twentieth lower counts as lowered; nine tenths of the whole fall as all of it."""
    after = min(quota for _, quota in seen)
    never = float("inf")
    first = next((at for at, quota in seen if quota < before * 0.95), never)
    whole = next((at for at, quota in seen if quota <= before - 0.9 * (before - after)), never)
    return Trial(first, whole if first < never else never, before, after)


def _quotas(batch: list[str]) -> int:
    return sum(int(read("cpu", group, "cpu.cfs_quota_us")) for group in batch)
