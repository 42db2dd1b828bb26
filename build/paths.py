"""Paths of the build, and how its steps are reported."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    match = re.search(r'__version__ = "([^"]+)"', (SOURCE / "__init__.py").read_text())
    if not match:
        raise SystemExit(f"build: no __version__ in {SOURCE / '__init__.py'}")
    return match[1]


def git(*arguments: str) -> str:
    """What git says; nothing outside a checkout."""
    done = subprocess.run(["git", *arguments], cwd=CLONE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit_time(*folders: str) -> str:
    """SOURCE_DATE_EPOCH, or when the commit was made that last changed something there."""
    return os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct", "--", *folders) or "0"


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """An empty folder for as long as it is needed: what was cut short before is no hindrance."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def plain_modes(root: Path) -> None:
    """Give all that is below a folder the usual modes, whatever umask it was made under."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def say(text: str) -> None:
    """One line of progress."""
    print(f"build: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, merged: bool = False) -> str:
    """Run a program and return its output (``merged``: with stderr). Exits with that output if the program fails."""
    argv = [str(part) for part in command]
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"build: {' '.join(argv)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout + done.stderr if merged else done.stdout
