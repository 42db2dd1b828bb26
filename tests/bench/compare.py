# SPDX-License-Identifier: Apache-2.0
"""The same figures of this tree and of a commit before it, measured in turn: `python -m tests.bench compare COMMIT`.

Each part runs in a process of its own, and each tree brings its own code, chart and bench helpers (`compare_part.py`).
CPU time, not seconds on the clock: whatever else the machine does meets both trees alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tests.bench.figures import Figure, Report
from tests.lab.config import CLONE
from tests.lab.progress import say, step

PAIRS: Final = 5
PARTS: Final = ("imports", "agent", "loop", "server")
MOST: Final = 1.10
PART: Final = Path(__file__).with_name("compare_part.py")
UNITS: Final = {"ms": "ms", "mib": "MiB", "s": "s", "modules": "modules"}
NOTES: Final = {
    "agent-import-mib": "Memory of a process that has imported what `colocation agent` imports.",
    "agent-round-ms": "CPU of one round of the agent's loop on a made tree of 100 pods, half of them best effort. A "
    "stand-in: plain files in a temporary folder, not cgroups.",
    "agent-write-ms": "CPU of the agent's status, encoded: what one report costs beside the rounds.",
    "loop-recompute-ms": "One whole step of the manager's loop for 500 nodes and 15,000 pods, pods and reports as "
    "before (`warm.py`).",
    "loop-scratch-ms": "The same with all pods looked at again.",
    "loop-edit-ms": "A policy is edited: all nodes are matched and decided again.",
    "loop-cold-ms": "All nodes are decided for the first time.",
    "loop-report-ms": "One report of 30 pods decoded, taken in and decided.",
    "loop-mib": "The loop's process with all nodes, pods and reports.",
    "loop-churned-mib": "The same after 11 minutes' worth of churn.",
    "server-start-ms": "CPU of the manager's process from its start until all 200 nodes of a real API server are "
    "published, without a limit on writes; the tree's own CRDs.",
    "server-report-ms": "CPU of that process for one report of 10 pods through the API server, of 600; what it costs "
    "to be idle meanwhile is in it.",
    "server-mib": "Memory of that process after the reports.",
}


class Row(Struct):
    """One figure of both trees, pair by pair."""

    name: str
    before: list[float]
    now: list[float]

    @property
    def ratios(self) -> list[float]:
        """This tree's value divided by the commit's, of each pair."""
        return [now / before for before, now in zip(self.before, self.now, strict=True)]

    def figure(self) -> Figure:
        """Medians; the floor is the commit's."""
        ratio = round(statistics.median(self.ratios), 3)
        spread = f"Ratios of the pairs: {', '.join(f'{one:.2f}' for one in sorted(self.ratios))}."
        return Figure(
            name=self.name,
            value=_short(statistics.median(self.now)),
            unit=_unit(self.name),
            floor=_short(statistics.median(self.before)),
            ratio=ratio,
            goal=f"<= {MOST:g} x floor",
            met=ratio <= MOST,
            note=f"{NOTES.get(self.name, '')} {spread}".strip(),
        )

    def line(self) -> str:
        """Of the table."""
        before, now = statistics.median(self.before), statistics.median(self.now)
        ratios, unit = self.ratios, _unit(self.name)
        ratio = statistics.median(ratios)
        met = "yes" if ratio <= MOST else "**no**"
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        return f"| {self.name} | {before:.4g} {unit} | {now:.4g} {unit} | {ratio:.2f} | {spread} | {met} |"


def run(commit: str, pairs: int = PAIRS, parts: tuple[str, ...] = PARTS) -> Report:
    """Every part in both trees, in turn, ``pairs`` times."""
    short = _git("rev-parse", "--short", f"{commit}^{{commit}}")
    with _worktree(commit) as old:
        rows = [row for part in parts for row in _pairs(part, old, pairs)]
    words = [
        f"Each figure of {short} (*{_git('log', '-1', '--format=%s', commit)}*) and of this tree ({_now()}), measured "
        f"in turn in one run, {pairs} pairs each; medians, and the median and range of the pairs' ratios. CPU time is "
        f"user and system time of the process. A ratio of at most {MOST:g} counts as not worse.",
        "",
        f"| figure | {short} | this tree | ratio | range | at most {MOST:g} |",
        "|---|---|---|---|---|---|",
        *(row.line() for row in rows),
    ]
    return Report(f"This tree beside {short}", "\n".join(words), [row.figure() for row in rows], rows=False)


def _pairs(part: str, old: Path, pairs: int) -> list[Row]:
    rows: dict[str, Row] = {}
    for turn in range(pairs):
        # Which of the two goes first alternates too: a warm page cache serves both alike.
        trees = (old, CLONE) if turn % 2 == 0 else (CLONE, old)
        with step(f"{part}, pair {turn + 1} of {pairs}"):
            found = {tree: _measure(part, tree) for tree in trees}
        for name, value in found[CLONE].items():
            row = rows.setdefault(name, Row(name, [], []))
            row.before.append(found[old][name])
            row.now.append(value)
    for row in rows.values():
        say(f"  {row.line()}")
    return list(rows.values())


def _measure(part: str, tree: Path) -> dict[str, float]:
    env = {**os.environ, "PYTHONPATH": f"{tree / 'reconciler/src'}:{tree}", "PYTHONHASHSEED": "0"}
    # -P: modules beside the script (profile.py) must not stand in the way of the standard library's.
    argv = [sys.executable, "-P", str(PART), part, str(tree)]
    done = subprocess.run(argv, cwd=tree, env=env, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, float])


@contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tree = Path(folder, "tree")
        _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _now() -> str:
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "reconciler/src", "charts")
    return _git("rev-parse", "--short", "HEAD") + (" and changes that are not committed" if changed else "")


def _git(*args: str) -> str:
    return subprocess.run(["git", *args], cwd=CLONE, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _unit(name: str) -> str:
    return UNITS[name.rpartition("-")[2]]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
