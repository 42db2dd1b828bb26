"""From a node's capacity to the number it publishes, step by step: each step a row with a bar."""

from __future__ import annotations

from markupsafe import Markup
from msgspec import Struct

from colocation.console import bars
from colocation.console.bars import Part
from colocation.model.answers import ResourceExplanation, Term


class Step(Struct, frozen=True):
    """One row."""

    name: str
    """A term of docs/glossary.md."""
    value: int | None
    kind: str
    """capacity, term (signed, added to the sum so far), or result (a level that was reached)."""
    bar: Markup
    term: Term | None = None
    """With its source, and the terms it is made of."""


def steps(found: ResourceExplanation) -> list[Step]:
    """The rows, capacity first: the terms add up to free, and free becomes what is published."""
    full = max([found.terms[0].value if found.terms else 0, found.free, found.allocated, found.published or 0, 1])
    rows, level = [], 0
    for place, term in enumerate(found.terms):
        first = place == 0
        start, level = level, level + term.value
        low, high = min(start, level), max(start, level)
        kind = "total" if first else "minus" if term.value <= 0 else "plus"
        drawn = bars.bar([Part(kind, low, high - low)], full)
        rows.append(Step(term.name, term.value, "capacity" if first else "term", drawn, term))
    for name, value in (
        ("free", found.free),
        ("result", found.result),
        ("headroom", found.headroom),
        ("allocated", found.allocated),
        ("published", found.published),
    ):
        shade = "published" if name in ("published", "headroom") else "be" if name == "allocated" else "total"
        rows.append(Step(name, value, "result", bars.bar([Part(shade, 0, value or 0)], full)))
    return rows
