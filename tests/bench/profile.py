# SPDX-License-Identifier: Apache-2.0
"""Where a process's time goes, by py-spy: samples of whichever thread holds the interpreter's lock."""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.lab.extras import extras

HERTZ = 1000
REST = "elsewhere"


@contextmanager
def profiled(pid: int, seconds: int, stages: Mapping[str, str]) -> Iterator[dict[str, float]]:
    """Sample a process for so long; afterwards the dict says which part of its samples each stage had.

    ``stages``: a function (file:name) to what it is for. Empty where another process may not be looked at.
    """
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="profile-") as scratch:
        raw = Path(scratch, "raw")
        argv = [str(extras("bench") / "bin/py-spy"), "record", "--gil", "--threads", "--format", "raw"]
        argv += ["--rate", str(HERTZ), "--duration", str(seconds), "--output", str(raw), "--pid", str(pid)]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            yield found
        if raw.exists():
            found.update(shares(raw.read_text().splitlines(), stages))


def shares(lines: Iterable[str], stages: Mapping[str, str]) -> dict[str, float]:
    """Collapsed stacks ("outermost (file:line);...;innermost (file:line) count") by the innermost stage in each."""
    counted: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        names = (_name(frame) for frame in reversed(stack.split(";")))
        counted[next((stages[name] for name in names if name in stages), REST)] += int(count)
    return {stage: count / counted.total() for stage, count in counted.most_common()}


def _name(frame: str) -> str:
    """Of a frame such as "step (colocation/manager/loop.py:12)": colocation/manager/loop.py:step."""
    name, _, place = frame.partition(" (")
    return f"{place.rpartition(':')[0]}:{name}"
