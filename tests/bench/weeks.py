# SPDX-License-Identifier: Apache-2.0
"""Two weeks of use, five minutes a step, that nobody recorded: waves, weekends, deploys, level shifts, leaks, bursts.

Every pod draws its own kind and numbers. A set is named by its seed: those of ``TUNING`` were looked at while the
constants of `predict/` were chosen, those of ``JUDGING`` were not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

from colocation.replay.shape import Pod
from colocation.replay.traces import named

DAY: Final = 288
"""Steps."""
DAYS: Final = 14
TUNING: Final = (101, 102, 103)
JUDGING: Final = (901, 902, 903)


def node(pods: int, seed: int, number: int, days: int = DAYS) -> list[Pod]:
    """One node: its pods, each with a column for CPU and one for memory, in percent of the request."""
    dice = random.Random(seed * 100_003 + number)
    rush = dice.uniform(0, DAY)  # most pods of a node serve the same people, at the same hours
    return [(_cpu(dice, rush, days), _memory(dice, rush, days)) for _ in range(pods)]


def _cpu(dice: random.Random, rush: float, days: int) -> list[float]:
    level, height = dice.uniform(3, 30), dice.choice((0.0, dice.uniform(0.2, 2.0)))
    top = rush + dice.gauss(0, 18) if dice.random() < 0.7 else dice.uniform(0, DAY)
    weekend = dice.choice((1.0, 1.0, dice.uniform(0.2, 0.7)))
    noise, memory = level * dice.uniform(0.03, 0.35), dice.choice((0.0, 0.6, 0.9))
    burst_rate = dice.choice((0.0, 0.002, 0.01))
    batch = dice.randrange(DAY) if dice.random() < 0.2 else None  # a nightly job
    factor, away, burst = _factors(dice, days), 0.0, 0.0
    values = []
    for step in range(days * DAY):
        day, at = divmod(step, DAY)
        quiet = weekend if day % 7 >= 5 else 1.0
        wave = 1 + height * quiet * (1 + math.cos(2 * math.pi * (at - top) / DAY)) / 2
        away = memory * away + dice.gauss(0, noise) * math.sqrt(1 - memory * memory)
        burst = burst * 0.7 + (level * dice.expovariate(1 / 1.5) if dice.random() < burst_rate else 0.0)
        job = 1.5 * level if batch is not None and 0 <= (at - batch) % DAY < 9 else 0.0
        values.append(min(100.0, max(0.2, factor(step) * (level * quiet * wave + away + job) + burst)))
    return values


def _memory(dice: random.Random, rush: float, days: int) -> list[float]:
    level, height = dice.uniform(10, 60), dice.choice((0.0, 0.05, 0.2))
    top, noise = rush + dice.gauss(0, 18), dice.choice((0.02, 0.2, 1.0))
    leak = dice.uniform(5, 25) / DAY if dice.random() < 0.2 else 0.0
    restart = round(dice.uniform(0.7, 4) * DAY)
    jump = 0.003 if dice.random() < 0.3 else 0.0  # a cache that is filled, and dropped hours later
    factor, cache, grown = _factors(dice, days, most=1.4), 0.0, 0.0
    values = []
    for step in range(days * DAY):
        grown = 0.0 if step % restart == 0 else grown + leak
        if dice.random() < (jump if not cache else 0.02):
            cache = 0.0 if cache else dice.uniform(2, 12)
        wave = 1 + height * (1 + math.cos(2 * math.pi * (step % DAY - top) / DAY)) / 2
        values.append(min(100.0, max(1.0, factor(step) * level * wave + grown + cache + dice.gauss(0, noise))))
    return values


def _factors(dice: random.Random, days: int, most: float = 2.0) -> Callable[[int], float]:
    """Deploys: now and then use doubles, or halves, from one step to the next and stays so."""
    changes, factor = [(0, 1.0)], 1.0
    if dice.random() < 0.5:
        for day in range(days):
            if dice.random() < 0.15:
                factor = min(most, max(0.5, factor * dice.choice((1 / most, 0.8, 1.25, most))))
                changes.append((day * DAY + round(dice.uniform(0.3, 0.7) * DAY), factor))

    def at(step: int) -> float:
        while len(changes) > 1 and changes[1][0] <= step:
            del changes[0]
        return changes[0][1]

    return at


def nodes(pods: int, count: int, seed: int = JUDGING[0], days: int = DAYS) -> list[list[Pod]]:
    """Made nodes, of the judging set unless told otherwise."""
    return [node(pods, seed, number, days) for number in range(count)]


def recorded(path: Path, pods: int, most: int, *, whole: bool, seed: int = 1) -> list[list[Pod]]:
    """Nodes of recorded use; not ``whole``: of the judging half of the files, those whose name has an odd CRC."""
    days: dict[str, list[Pod]] = {}
    for folder, name, pod in named(path):
        if whole or crc32(name.encode()) & 1:
            days.setdefault(name if len(pod[0]) <= DAY else f"{folder}/{name}", []).append(pod)
    joined = [_joined(parts) for parts in days.values()]
    pieces = [piece for pod in joined for piece in _pieces(pod)]
    longest = sorted(len(piece[0]) for piece in pieces)[-len(pieces) // 4]  # what a quarter of them has
    long = [tuple(column[:longest] for column in piece) for piece in pieces if len(piece[0]) >= longest]
    random.Random(seed).shuffle(long)
    return [long[at : at + pods] for at in range(0, len(long) - pods + 1, pods)][:most]


def _joined(parts: list[Pod]) -> Pod:
    """Days of one machine, end to end: the jump at a seam is not its own, and is spread over the day that follows."""
    columns = []
    for days in zip(*parts, strict=True):
        whole = list(days[0][:DAY]) if len(days) > 1 else list(days[0])
        for day in days[1:]:
            jump = sum(whole[-6:]) / 6 - sum(day[:6]) / 6
            whole += [min(100.0, max(0.0, v + jump * (1 - at / DAY))) for at, v in enumerate(day[:DAY])]
        columns.append(whole)
    return tuple(columns)


def _pieces(pod: Pod) -> list[Pod]:
    size = DAYS * DAY
    count = max(1, round(len(pod[0]) / size))
    length = min(size, len(pod[0]) // count)
    return [tuple(column[at * length : (at + 1) * length] for column in pod) for at in range(count)]
