# SPDX-License-Identifier: Apache-2.0
"""A day of use, minute by minute: read from traces given by path, or made up (no trace comes with the repository)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct

from colocation.replay.traces import read

GI: Final = 2**30
POD_CPU: Final = 4000
"""Millicores that each pod asked for: a trace's 100 %."""
POD_MEMORY: Final = 16 * GI
STEP: Final = 5
"""Minutes between two values of a trace; between them use goes straight from one to the next."""
STEPS: Final = 288


class Pod(Struct, frozen=True):
    """Use of one pod at each minute of the day: millicores and bytes."""

    cpu: list[int]
    memory: list[int]


class Day(Struct, frozen=True):
    """Nodes with their pods."""

    name: str
    words: str
    nodes: list[list[Pod]]
    resources: tuple[str, ...]


def trace(path: Path, nodes: int, pods_each: int, seed: int = 1) -> Day:
    """A day from a trace that `colocation simulate` can read: percent of each pod's size, every five minutes."""
    series = list(_series(path))
    if len(series) < pods_each:
        raise ValueError(f"{path} has only {len(series)} series of a day, and a node takes {pods_each}")
    random.Random(seed).shuffle(series)
    groups = [series[at : at + pods_each] for at in range(0, len(series) - pods_each + 1, pods_each)][:nodes]
    memory = len(series[0]) > 1
    return Day(
        name=path.name.split("-")[0].split(".")[0],
        words=f"{len(groups)} nodes of {pods_each} pods from {path.name}",
        nodes=[[_pod(columns) for columns in group] for group in groups],
        resources=("cpu", "memory") if memory else ("cpu",),
    )


@lru_cache
def _series(path: Path) -> tuple[tuple[list[float], ...], ...]:
    """Read once: benches draw several times."""
    return tuple(columns for _, columns in read(path) if len(columns[0]) >= STEPS)


def made(nodes: int, pods_each: int, seed: int = 1) -> Day:
    """A made day: each pod has its own level, hour of most use, noise, and now and then a burst."""
    dice = random.Random(seed)
    return Day(
        name="made",
        words=f"{nodes} made nodes of {pods_each} pods: a daily wave, noise and bursts",
        nodes=[[_pod((_wave(dice), _wave(dice, calm=True))) for _ in range(pods_each)] for _ in range(nodes)],
        resources=("cpu", "memory"),
    )


def _wave(dice: random.Random, *, calm: bool = False) -> list[float]:
    level, height, top = dice.uniform(5, 35), dice.uniform(2, 25), dice.uniform(0, STEPS)
    noise, burst, values = (1.0 if calm else 6.0), 0.0, []
    for step in range(STEPS):
        burst = 0.0 if calm else max(0.0, burst * 0.6 + (dice.uniform(20, 60) if dice.random() < 0.01 else 0))
        wave = height * (1 + math.cos(2 * math.pi * (step - top) / STEPS)) / 2
        values.append(min(100.0, max(0.5, level + wave + burst + dice.gauss(0, noise))))
    return values


def _pod(columns: Sequence[Sequence[float]]) -> Pod:
    memory = columns[1] if len(columns) > 1 else [50.0] * STEPS
    return Pod(_minutes(columns[0], POD_CPU), _minutes(memory, POD_MEMORY))


def _minutes(percents: Sequence[float], size: int) -> list[int]:
    values = [min(100.0, max(0.0, percent)) * size / 100 for percent in percents[:STEPS]]
    values.append(values[-1])
    return [round(a + (b - a) * minute / STEP) for a, b in pairwise(values) for minute in range(STEP)]
