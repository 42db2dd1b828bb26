"""Where things are, and how steps are told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]
OUT = CLONE / "build/out"
SOURCE = CLONE / "reconciler/src/colocation"
CHART = CLONE / "charts/colocation-package"


def cache() -> Path:
    """The cache folder that tests/lab uses too."""
    given = os.environ.get("COLOCATION_CACHE")
    return Path(given).absolute() if given else Path.home() / ".cache/openfuyao-colocation"


def version() -> str:
    """The distribution's version: image, chart and collection carry the same one."""
    found = re.search(r'__version__ = "([^"]+)"', (SOURCE / "__init__.py").read_text())
    if not found:
        raise SystemExit(f"build: no __version__ in {SOURCE / '__init__.py'}")
    return found[1]


def say(text: str) -> None:
    """One line of progress."""
    print(f"build: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program; its output, or an end with what it said."""
    argv = [str(part) for part in command]
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"build: {' '.join(argv)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout
