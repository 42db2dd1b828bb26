# SPDX-License-Identifier: Apache-2.0
"""Which code a result is about: a digest of all files in the working tree that a suite can depend on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

CLONE = Path(__file__).parents[2]
IGNORED = ("docs/", "changelogs/", "LICENSES/")
"""Folders whose change leaves earlier results valid; pages (.md) elsewhere, too. `make lint` and `make unit` do read
some of them: both take a minute, and `make test` runs them each time."""


def digest() -> str:
    """Of the files as they are now, committed or not; independent of history, so it survives a rebase."""
    with tempfile.TemporaryDirectory(prefix="colocation-index-") as scratch:
        # An index of its own: what the user has staged stays as it is.
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _git("read-tree", "HEAD", **index)
        _git("add", "--all", **index)
        listing = _git("ls-files", "--stage", **index)
    return of(listing)


def of(listing: str) -> str:
    """The digest of a listing by `git ls-files --stage`: lines of mode, blob, stage and path."""
    lines = (line for line in listing.splitlines() if _counts(line.partition("\t")[2]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def commit() -> str:
    """The commit that is checked out, with a plus where the working tree differs from it."""
    head = _git("rev-parse", "--short=12", "HEAD").strip()
    return f"{head}+" if _git("status", "--porcelain") else head


def changed_since(commit: str) -> int | None:
    """How many files that count differ between a commit and the working tree; None: no such commit here."""
    done = subprocess.run(
        ["git", "diff", "--name-only", commit.rstrip("+")], cwd=CLONE, capture_output=True, text=True, check=False
    )
    return None if done.returncode else sum(map(_counts, done.stdout.splitlines()))


def _counts(path: str) -> bool:
    return not path.startswith(IGNORED) and not path.endswith(".md")


def _git(*arguments: str, **env: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=CLONE, env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return done.stdout
