# SPDX-License-Identifier: Apache-2.0
"""How many tests passed, failed and were skipped, read from what pytest prints."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SUMMARY = re.compile(r"^=*\s*((?:\d+ [a-z]+, )*\d+ [a-z]+) in \d+(?:\.\d+)?s(?: \([\d:, a-z]+\))?\s*=*$")
_SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] [^:]+:(?:\d+:)? (.+)$")
_COLUMNS = {
    "passed": "passed", "xfailed": "skipped", "skipped": "skipped",
    "failed": "failed", "error": "failed", "errors": "failed", "xpassed": "failed",
}  # fmt: skip


class Counts(Struct):
    """Tests by outcome, summed over all pytest runs of a suite; no runs: a suite that counts no tests (lint)."""

    runs: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: dict[str, int] = {}
    """Why tests were skipped, and how many."""


def read(lines: Iterable[str]) -> Counts:
    """Sum up every summary line of pytest in a log."""
    sums = {"passed": 0, "failed": 0, "skipped": 0}
    runs, reasons = 0, dict[str, int]()
    for raw in lines:
        line = _COLOUR.sub("", raw).strip()
        if skip := _SKIPPED.match(line):
            reasons[skip[2]] = reasons.get(skip[2], 0) + int(skip[1])
        if summary := _SUMMARY.match(line):
            runs += 1
            for part in summary[1].split(", "):
                number, outcome = part.split(" ")
                if outcome in _COLUMNS:
                    sums[_COLUMNS[outcome]] += int(number)
    return Counts(runs, **sums, reasons=reasons)
