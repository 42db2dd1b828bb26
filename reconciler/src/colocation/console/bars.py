"""Bars as SVG, computed here: shapes by attributes only, since the page's policy allows no style in an element.

Each bar is 100 wide and 10 high, and is stretched by the style sheet. The same is there as text, so it is
hidden from screen readers.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup
from msgspec import Struct


class Part(Struct, frozen=True):
    """A stretch of a bar, in the bar's own unit."""

    kind: str
    """Class of the style sheet: online, be, published, margin, rest, total, minus, plus, below."""
    start: float
    length: float


def bar(parts: Iterable[Part], full: float, mark: float | None = None) -> Markup:
    """A bar of which ``full`` is all; ``mark``: a line across it."""
    shapes = ['<rect class="track" width="100" height="10"/>']
    for part in parts:
        start = _place(part.start, full)
        width = _place(part.start + part.length, full) - start
        if width > 0:
            shapes.append(f'<rect class="{part.kind}" x="{start:.2f}" width="{width:.2f}" height="10"/>')
    if mark is not None:
        at = _place(mark, full)
        shapes.append(f'<line class="mark" x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="10"/>')
    body = "".join(shapes)
    return Markup(  # noqa: S704 (classes are ours, the rest are numbers)
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{body}</svg>'
    )


def stacked(lengths: Iterable[tuple[str, float]], full: float, mark: float | None = None) -> Markup:
    """Parts end to end."""
    parts, at = [], 0.0
    for kind, length in lengths:
        parts.append(Part(kind, at, max(0.0, length)))
        at += max(0.0, length)
    return bar(parts, full, mark)


def _place(value: float, full: float) -> float:
    return 0.0 if full <= 0 else 100 * min(max(value, 0.0), full) / full
