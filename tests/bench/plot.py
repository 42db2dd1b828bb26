# SPDX-License-Identifier: Apache-2.0
"""The plots beside the figures."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.extras import extras

if TYPE_CHECKING:
    from colocation.replay.score import RuleScore
    from tests.bench.calm import Line
    from tests.bench.figures import Figure

GOOD, BAD = "#2a7f62", "#c0392b"


def goals(to: Path, figures: list[Figure]) -> None:
    """Each figure that has a goal, as a part of it."""
    judged = [(f.name, part) for f in figures if (part := f.part_of_goal) is not None][::-1]
    draw = _pyplot()
    _, axes = draw.subplots(figsize=(8, 0.5 + 0.35 * len(judged)), layout="constrained")
    axes.barh([n for n, _ in judged], [p for _, p in judged], color=[GOOD if p <= 1 else BAD for _, p in judged])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("part of the goal (left of the line: met)")
    draw.savefig(to, dpi=110, metadata={"Software": None})
    draw.close()


def days(to: Path, lines: Mapping[str, Line]) -> None:
    """One node's day each: what was free, and what was published."""
    draw = _pyplot()
    _, rows = draw.subplots(len(lines), 1, figsize=(9, 2.6 * len(lines)), squeeze=False, layout="constrained")
    for (axes,), (name, line) in zip(rows, lines.items(), strict=True):
        hours = [minute / 60 for minute in range(len(line.free))]
        axes.plot(hours, [value / 1000 for value in line.free], color="grey", linewidth=0.8, label="really free")
        for rule, values in line.published.items():
            axes.step(hours, [value / 1000 for value in values], where="post", linewidth=1, label=rule)
        axes.set_title(f"{name}: CPU of one node, cores", loc="left", fontsize=10)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, ncols=4)
    rows[-1][0].set_xlabel("hours")
    draw.savefig(to, dpi=110, metadata={"Software": None})
    draw.close()


def arms(to: Path, drawn: Mapping[str, tuple[list[float], list[float]]]) -> None:
    """Arms side by side: every pair's ratio with its median, and the batch work done."""
    draw = _pyplot()
    _, (left, right) = draw.subplots(1, 2, figsize=(10, 0.8 + 0.5 * len(drawn)), sharey=True, layout="constrained")
    names = list(drawn)[::-1]
    for y, name in enumerate(names):
        ratios, work = (sorted(values) for values in drawn[name])
        left.plot(ratios, [y] * len(ratios), "o", color="grey", markersize=4, alpha=0.7)
        left.plot(
            [ratios[len(ratios) // 2]],
            [y],
            "|",
            color=BAD if ratios[len(ratios) // 2] > 1.1 else GOOD,
            markersize=22,
            markeredgewidth=3,
        )
        right.barh([y], [work[len(work) // 2]], color=GOOD)
    left.axvline(1, color="black", linewidth=1)
    left.set_xscale("log")
    left.set_yticks(range(len(names)), names)
    left.set_xlabel("online p99, times the service alone (bar: median of the pairs)")
    right.set_xlabel("batch work, cores")
    draw.savefig(to, dpi=110, metadata={"Software": None})
    draw.close()


def curves(to: Path, found: Mapping[str, Sequence[RuleScore]]) -> None:
    """Savings over violations of every rule, one picture a resource of a trace."""
    draw = _pyplot()
    _, rows = draw.subplots(len(found), 1, figsize=(8, 3.2 * len(found)), squeeze=False, layout="constrained")
    for (axes,), (name, outcomes) in zip(rows, found.items(), strict=True):
        for one in outcomes:
            points = sorted((100 * p.violations, 100 * p.savings) for p in one.curve if p.violations <= 0.2)
            width = 2.5 if one.rule.startswith("predicted") else 1
            axes.plot(*zip(*points, strict=True), marker=".", linewidth=width, label=one.rule) if points else None
        axes.set_title(f"{name}: savings (%) over violations (%)", loc="left", fontsize=10)
        axes.set_xscale("symlog", linthresh=0.2)
        axes.set_xlim(0, 20)
        top = max(100 * p.savings for one in outcomes for p in one.curve if p.violations <= 0.05)
        axes.set_ylim(top - 12, top + 1)
        axes.legend(fontsize=6, ncols=3)
    draw.savefig(to, dpi=100, metadata={"Software": None})
    draw.close()


def _pyplot() -> Any:
    folder = str(extras("bench"))
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.import_module("matplotlib").use("Agg")
    return importlib.import_module("matplotlib.pyplot")
