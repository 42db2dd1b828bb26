"""Plots as SVG, without a script; colours are the page's, so that they follow light and dark. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from msgspec import Struct

from colocation.assess.merge import WeekHour
from colocation.assess.recommend import Step

_CELL_WIDTH, _CELL_HEIGHT, _LEFT, _TOP = 26, 22, 44, 20
_CURVE_WIDTH, _CURVE_HEIGHT, _PAD = 420, 240, 52
_BAR_WIDTH, _BAR_HEIGHT, _NAME_WIDTH = 360, 22, 170
_DAY: Final = 24


class Bar(Struct, frozen=True):
    """One row of a bar chart: a value, and what it is a part of."""

    name: str
    value: float
    whole: float
    label: str


def week(hours: Sequence[WeekHour], days: Sequence[str], key: str, title: str) -> str:
    """A heat map of the week: rows are days, columns hours; ``key`` is used or published, in parts of capacity."""
    width, height = _LEFT + _DAY * _CELL_WIDTH, _TOP + len(days) * _CELL_HEIGHT
    parts = [_open(width, height, title)]
    parts += [_text(_LEFT + h * _CELL_WIDTH + _CELL_WIDTH / 2, _TOP - 6, f"{h}", "middle") for h in range(0, _DAY, 3)]
    parts += [_text(_LEFT - 6, _TOP + d * _CELL_HEIGHT + 15, day, "end") for d, day in enumerate(days)]
    known = [value for one in hours if (value := getattr(one, key)) is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)
    for one in hours:
        day, hour = divmod(one.hour, _DAY)
        x, y = _LEFT + hour * _CELL_WIDTH, _TOP + day * _CELL_HEIGHT
        value = getattr(one, key)
        place = f'x="{x}" y="{y}" width="{_CELL_WIDTH - 2}" height="{_CELL_HEIGHT - 2}" rx="3"'
        label = f"{days[day]} {hour:02}:00" + ("" if value is None else f", {100 * value:.1f}%")
        fill = 'class="none"' if value is None else f'class="{key}" fill-opacity="{_shade(value, least, most):.3f}"'
        parts.append(f"<rect {place} {fill}><title>{escape(label)}</title></rect>")
    return "".join([*parts, "</svg>"])


def _shade(value: float, least: float, most: float) -> float:
    """From the week's least hour to its most."""
    return 0.12 + 0.88 * ((value - least) / (most - least) if most > least else 0.5)


def curve(steps: Sequence[Step], chosen: str, capacity: int, title: str, across: str, up: str) -> str:
    """Risk against gain: each violation budget's violations, and what is published under it in percent of capacity."""
    points = [(100 * step.violations, 100 * step.published / capacity if capacity else 0.0, step) for step in steps]
    most_x = max((x for x, _, _ in points), default=0.0) * 1.1 or 1.0
    low = min((y for _, y, _ in points), default=0.0)
    high = max((y for _, y, _ in points), default=1.0)
    pad = max(0.5, (high - low) * 0.15)
    low, high = max(0.0, low - pad), high + pad

    def at(x: float, y: float) -> tuple[float, float]:
        inner = _CURVE_WIDTH - _PAD - 16, _CURVE_HEIGHT - _PAD - 12
        return _PAD + inner[0] * x / most_x, 12 + inner[1] * (1 - (y - low) / (high - low))

    parts = [_open(_CURVE_WIDTH, _CURVE_HEIGHT, title)]
    for part in (0.0, 0.5, 1.0):
        value = low + part * (high - low)
        y = at(0, value)[1]
        parts.append(f'<line class="grid" x1="{_PAD}" x2="{_CURVE_WIDTH - 16}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_PAD - 6, y + 4, f"{value:.1f}%", "end"))
        x = at(part * most_x, low)[0]
        parts.append(_text(x, _CURVE_HEIGHT - _PAD + 18, f"{part * most_x:.2f}%", "middle"))
    parts.append(_text(_PAD + (_CURVE_WIDTH - _PAD) / 2, _CURVE_HEIGHT - 12, across, "middle"))
    parts.append(_text(_PAD, 8, up, "start"))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(x, y) for x, y, _ in points))
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for x, y, step in points:
        left, top = at(x, y)
        kind, size = ("chosen", 7) if step.budget == chosen else ("point", 4)
        label = f"{step.budget}: {x:.2f}%, {y:.1f}%"
        parts.append(
            f'<circle class="{kind}" cx="{left:.1f}" cy="{top:.1f}" r="{size}"><title>{escape(label)}</title></circle>'
        )
        parts.append(_text(left + 9, top + 14, step.budget, "start"))
    return "".join([*parts, "</svg>"])


def bars(rows: Sequence[Bar], title: str) -> str:
    """Rows of a name, a bar, and its label."""
    width, height = _NAME_WIDTH + _BAR_WIDTH + 110, len(rows) * _BAR_HEIGHT + 4
    most = max((row.whole for row in rows), default=0.0) or 1.0
    parts = [_open(width, height, title)]
    for at, row in enumerate(rows):
        y = at * _BAR_HEIGHT + 2
        name = row.name if len(row.name) <= 24 else f"{row.name[:23]}…"
        parts.append(_text(_NAME_WIDTH - 8, y + 14, name, "end"))
        for kind, value in (("none", row.whole), ("published", row.value)):
            length = _BAR_WIDTH * value / most
            parts.append(
                f'<rect class="{kind}" x="{_NAME_WIDTH}" y="{y}" width="{length:.1f}" height="{_BAR_HEIGHT - 6}">'
                f"<title>{escape(row.name)}: {escape(row.label)}</title></rect>"
            )
        parts.append(_text(_NAME_WIDTH + _BAR_WIDTH * row.whole / most + 8, y + 14, row.label, "start"))
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
