"""Kubernetes quantities as exact integers.

Grammar: k8s.io/apimachinery/pkg/api/resource/quantity.go: a decimal number, then either a binary suffix
(Ki .. Ei), a decimal suffix (n u m "" k M G T P E) or an exponent (e3, E-2).
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Final

_SUFFIXES: Final[dict[str, Decimal]] = {
    "": Decimal(1),
    **{suffix: Decimal(10) ** (3 * place - 9) for place, suffix in enumerate("num")},
    **{suffix: Decimal(10) ** (3 * place) for place, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(2) ** (10 * place) for place, suffix in enumerate("KMGTPE", 1)},
}
_PATTERN: Final = re.compile(
    r"([+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?"
)
_EXACT: Final = Context(prec=200)
MAX: Final = 2**63 - 1
"""Kubernetes caps quantities here; so do we."""


@lru_cache(4096, typed=True)
def parse(text: str | float, *, scale: int = 1, round_up: bool = True) -> int:
    """Return ``text`` times ``scale`` as an integer (``scale=1000`` reads cores as millicores).

    Fractions are rounded up (as Kubernetes does) or, with ``round_up=False``, down.
    Raises ValueError, naming the text, for anything that is not a quantity.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return max(-MAX, min(MAX, text * scale))
    match = _PATTERN.fullmatch(str(text))
    if match is None or len(str(text)) > 64:
        raise ValueError(f"not a Kubernetes quantity: {str(text)[:80]!r}")
    number, suffix, exponent = match.groups()
    factor = Decimal(10) ** max(-60, min(60, int(exponent))) if exponent else _SUFFIXES[suffix or ""]
    value = _EXACT.multiply(_EXACT.multiply(Decimal(number), factor), Decimal(scale))
    whole = int(value.to_integral_value(ROUND_CEILING if round_up else ROUND_FLOOR))
    return max(-MAX, min(MAX, whole))


def saturate(value: int) -> int:
    """An amount that the API server takes: a sum of absurd requests is as much as there can be, and never negative."""
    return max(0, min(MAX, value))


def millicores(text: str | float, *, round_up: bool = True) -> int:
    """Cores as Kubernetes writes them ("1500m", "2", "0.5") -> integer millicores."""
    return parse(text, scale=1000, round_up=round_up)


def human_bytes(value: int) -> str:
    """Bytes for people: the largest binary unit that keeps three digits ("1.50Gi")."""
    size = float(value)
    for unit in ("", "Ki", "Mi", "Gi", "Ti"):
        if abs(size) < 1024 or unit == "Ti":
            return f"{size:.0f}{unit}" if unit in ("", "Ki") or abs(size) >= 100 else f"{size:.3g}{unit}"
        size /= 1024
    raise AssertionError("unreachable")


def human_millicores(value: int) -> str:
    """Millicores for people: with a thousands separator and the unit ("3,200m")."""
    return f"{value:,}m"
