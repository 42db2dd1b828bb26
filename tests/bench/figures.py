# SPDX-License-Identifier: Apache-2.0
"""Figures as measured, missed goals included: JSON for machines, Markdown for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.bench import plot
from tests.lab.progress import say


class Figure(Struct, kw_only=True):
    """One figure. ``goal`` in words; ``met`` None: shown only, or not comparable at this size."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    goal: str | None = None
    met: bool | None = None
    note: str = ""

    @property
    def part_of_goal(self) -> float | None:
        """1: just met; above: missed."""
        if self.goal is None or self.met is None:
            return None
        most = float(self.goal.split()[1])
        if self.goal.startswith(">="):
            return most / self.value if self.value else float("inf")
        return (self.ratio or 0.0) / most if self.goal.endswith("floor") else self.value / most


class Report(Struct):
    """What one bench found: what it measured, in words, and its figures."""

    title: str
    words: str
    figures: list[Figure]
    draw: Callable[[Path], None] | None = None
    """Makes the picture; None: the figures as parts of their goals."""
    rows: bool = True
    """The figures are a table of their own; False: ``words`` has a better one."""


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    floor: float | None = None,
    most: float | None = None,
    most_ratio: float | None = None,
    least: float | None = None,
    note: str = "",
) -> Figure:
    """A figure, and whether it meets its goal: at most ``most``, or ``most_ratio`` floors, or at least ``least``."""
    ratio = None if not floor else round(value / floor, 2)
    goal = met = None
    if most is not None:
        goal, met = f"<= {most:g} {unit}", value <= most
    elif most_ratio is not None and ratio is not None:
        goal, met = f"<= {most_ratio:g} x floor", ratio <= most_ratio
    elif least is not None:
        goal, met = f">= {least:g} {unit}", value >= least
    made = Figure(
        name=name, value=_short(value), unit=unit, floor=None if floor is None else _short(floor), ratio=ratio,
        goal=goal, met=met, note=note,
    )  # fmt: skip
    say(f"  {_row(made)}")
    return made


def write(folder: Path, name: str, report: Report) -> None:
    """Write NAME.json, NAME.md and NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{name}.png"
    if report.draw is not None:
        report.draw(picture)
    else:
        plot.goals(picture, report.figures)
    text = msgspec.json.format(msgspec.json.encode(report.figures), indent=2)
    (folder / f"{name}.json").write_bytes(text + b"\n")
    (folder / f"{name}.md").write_text(markdown(report, picture.name))


def markdown(report: Report, picture: str = "") -> str:
    """The report as a page."""
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )
    load = os.getloadavg()[1]
    missed = [f.name for f in report.figures if f.met is False]
    verdict = f"Missed: {', '.join(missed)}." if missed else "Every goal that this size can judge is met."
    lines = [
        f"# {report.title}",
        "",
        f"Made by `make bench` on {machine}; load at its end {load:.1f}. {report.words}",
        "",
    ]
    if report.rows:
        head = ["| figure | value | floor | ratio | goal | met |", "|---|---|---|---|---|---|"]
        lines += [*head, *(_row(f) for f in report.figures), "", verdict, ""]
    if picture:
        lines += [f"![{report.title}]({picture})", ""]
    lines += [f"* **{f.name}**: {f.note}" for f in report.figures if f.note]
    return "\n".join(lines).rstrip("\n") + "\n"


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-int(len(ranked) * percent) // 100) - 1)]


def _row(f: Figure) -> str:
    met = {True: "yes", False: "**no**", None: ""}[f.met]
    floor = "" if f.floor is None else f"{f.floor:g} {f.unit}"
    ratio = "" if f.ratio is None else f"{f.ratio:g}"
    return f"| {f.name} | {f.value:g} {f.unit} | {floor} | {ratio} | {f.goal or ''} | {met} |"


def _short(value: float) -> float:
    """Four digits: more is noise."""
    return float(f"{value:.4g}")
