# SPDX-License-Identifier: Apache-2.0
"""Figures as measured, missed goals included: JSON for machines, Markdown for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

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


class Report(Struct):
    """What one bench found: what it measured, in words, and its figures."""

    title: str
    words: str
    figures: list[Figure]


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    floor: float | None = None,
    most: float | None = None,
    most_ratio: float | None = None,
    note: str = "",
) -> Figure:
    """A figure, and whether it meets its goal: at most ``most``, or at most ``most_ratio`` times the floor."""
    ratio = None if not floor else round(value / floor, 2)
    goal = met = None
    if most is not None:
        goal, met = f"<= {most:g} {unit}", value <= most
    elif most_ratio is not None and ratio is not None:
        goal, met = f"<= {most_ratio:g} x floor", ratio <= most_ratio
    made = Figure(
        name=name, value=_short(value), unit=unit, floor=None if floor is None else _short(floor), ratio=ratio,
        goal=goal, met=met, note=note,
    )  # fmt: skip
    say(f"  {_row(made)}")
    return made


def write(folder: Path, name: str, report: Report) -> None:
    """Write NAME.json and NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(report.figures), indent=2)
    (folder / f"{name}.json").write_bytes(text + b"\n")
    (folder / f"{name}.md").write_text(markdown(report))


def markdown(report: Report) -> str:
    """The report as a page."""
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )
    missed = [f.name for f in report.figures if f.met is False]
    verdict = f"Missed: {', '.join(missed)}." if missed else "Every goal that this size can judge is met."
    lines = [
        f"# {report.title}",
        "",
        f"Made by `make bench` on {machine}. {report.words}",
        "",
        "| figure | value | floor | ratio | goal | met |",
        "|---|---|---|---|---|---|",
        *(_row(f) for f in report.figures),
        "",
        verdict,
        "",
        *(f"* **{f.name}**: {f.note}" for f in report.figures if f.note),
    ]
    return "\n".join(lines) + "\n"


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
