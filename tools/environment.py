"""Virtual environments for tools that only one make target needs: kept in the cache folder by what they are made of."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from tests.lab.config import cache_dir


def environment(requirements: Path) -> Path:
    """The bin folder of an environment with these requirements; made the first time, by one process at a time."""
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = cache_dir() / f"{requirements.stem}-{key}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / ".complete").exists():
            print(f"==> installing what {requirements.name} names (a minute, once)", file=sys.stderr)
            venv.create(home, with_pip=True, clear=True)
            pip = [str(home / "bin/pip"), "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, "--requirement", str(requirements)], check=True)
            (home / ".complete").touch()
    return home / "bin"
