# SPDX-License-Identifier: Apache-2.0
"""Which suites there are: the Makefile's targets that test something. There is no second list to keep."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

MAKEFILE = Path(__file__).parents[2] / "Makefile"
_RUNS_TESTS = re.compile(
    r"\$\(PYTEST\)|python -m (tests\.(?!lab\b)|tools\.audit|tools\.docs_site)|\$\(BIN\)/ruff check --quiet"
)
_NOT_A_SUITE = {
    "demo": "shows the product; it asserts nothing",
    "test-all": "runs the others",
}
_EXPECTED_MINUTES = re.compile(r"\b(\d+) min\b|(half an hour)")
LIMIT_MINUTES = 120.0
"""For a suite whose help names no duration."""


class Suite(Struct, frozen=True):
    """One target of the Makefile."""

    name: str
    about: str
    """Its line in `make help`."""
    root: bool
    limit: float
    """Minutes after which it is stopped and counts as failed: four times what its help says, at least two hours."""


def suites(makefile: str | None = None) -> dict[str, Suite]:
    """All suites by name, in the order of the Makefile."""
    text = MAKEFILE.read_text() if makefile is None else makefile
    found = {}
    for name, needs, about, recipe in re.findall(
        r"^([a-z][a-z0-9-]*):([^#\n=]*?)(?:## (.*))?\n((?:\t.*\n)*)", text, re.MULTILINE
    ):
        if name in _NOT_A_SUITE or not _RUNS_TESTS.search(recipe):
            continue
        found[name] = Suite(name, about.strip(), "need-root" in needs.split(), _limit(about))
    return found


def _limit(about: str) -> float:
    minutes = [float(number) if number else 30.0 for number, _half in _EXPECTED_MINUTES.findall(about)]
    return max(LIMIT_MINUTES, 4 * max(minutes, default=0.0))
