"""Numbers as people read them. What is not known is `UNKNOWN`, never 0."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

UNKNOWN: Final = "\N{EN DASH}"
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = ("", "k", "M", "G")


def cores(millicores: float | None) -> str:
    """CPU in cores: "3.2", "520.7 k"."""
    return UNKNOWN if millicores is None else _scaled(millicores / 1000, 1000, _DECIMAL)


def bytes_text(value: float | None) -> str:
    """Memory by the largest binary unit: "96.0 Gi"."""
    return UNKNOWN if value is None else _scaled(value, 1024, _BINARY)


def percent(value: float | None) -> str:
    """A percentage with one place."""
    return UNKNOWN if value is None else f"{value:.1f} %"


def whole(value: int | None) -> str:
    """A count, thousands apart."""
    return UNKNOWN if value is None else f"{value:,}".replace(",", "\u202f")


def share(part: float | None, of: float | None) -> float | None:
    """``part`` in percent of ``of``."""
    return None if part is None or not of else 100 * part / of


def duration(seconds: float | None) -> str:
    """The largest whole unit: "12 s", "3 min", "2 h", "5 d"."""
    if seconds is None:
        return UNKNOWN
    value = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}"
    return f"{value:.0f} s"


def utc(at: float) -> str:
    """Seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    size, place = float(value), 0
    while abs(size) >= step and place < len(units) - 1:
        size, place = size / step, place + 1
    places = 0 if size == int(size) and (place == 0 or abs(size) >= 100) else 1
    if place == 0 and abs(size) < 10 and size != int(size):
        places = 2
    return f"{size:.{places}f} {units[place]}".rstrip()
