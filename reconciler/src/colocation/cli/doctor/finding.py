"""Findings, and words that several checks share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

SHOWN: Final = 5
"""Objects named in one finding; the rest is a number."""

Object = Mapping[str, Any]


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    UNKNOWN = "unknown"
    """Not looked at: a right is missing, or what would answer does not."""
    WARNING = "warning"
    ERROR = "error"


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at."""

    check: str
    level: Level
    message: str
    remedy: str = ""
    objects: Sequence[str] = ()
    """Names of what it is about, all of them."""


class Unread(Struct, frozen=True):
    """In the place of an answer: why there is none."""

    why: str


def worst(findings: Iterable[Finding]) -> Level:
    """The level of the whole; UNKNOWN counts less than a warning."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def some(which: Sequence[str]) -> str:
    """The first few names, for the end of a sentence."""
    if not which:
        return ""
    more = f" and {len(which) - SHOWN} more" if len(which) > SHOWN else ""
    return f": {', '.join(which[:SHOWN])}{more}"


def name_of(item: Object) -> str:
    """The name of an object."""
    return str(item["metadata"]["name"])


def version_of(item: Object) -> str:
    """The version label of an object of the chart; of a pod too."""
    return str(item["metadata"].get("labels", {}).get("app.kubernetes.io/version", ""))
