# SPDX-License-Identifier: Apache-2.0
"""Results of suites: one JSON file each in docs/verified/, the newest run only."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parents[2] / "docs/verified"


class Result(Struct, kw_only=True):
    """How one run of a suite ended."""

    suite: str
    outcome: str
    """`passed`, `failed`, or `changed`: it passed, but files changed while it ran."""
    commit: str
    """Short id; a trailing plus: with changes that were not committed."""
    code: str
    """Digest of the files that count (code.py): results hold for the same code, whatever the commit."""
    date: str
    """UTC, when it began."""
    minutes: float
    machine: str
    runs: int = 0
    """Of pytest; 0: the suite counts no tests."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: dict[str, int] = {}
    """Why tests were skipped."""


def load(folder: Path = FOLDER) -> dict[str, Result]:
    """All results, by suite."""
    found = (msgspec.json.decode(path.read_bytes(), type=Result) for path in sorted(folder.glob("*.json")))
    return {result.suite: result for result in found}


def save(result: Result, folder: Path = FOLDER) -> None:
    """Replace the suite's result, all or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.suite}.json"
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    new.rename(path)


def holds(result: Result | None, code: str) -> bool:
    """Whether a suite need not be run again on this code."""
    return result is not None and result.outcome == "passed" and result.code == code


def machine() -> str:
    """This machine, without its name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cgroup = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, {release}, Linux {platform.release()}, "
        f"cgroup {cgroup}, Python {platform.python_version()}"
    )
