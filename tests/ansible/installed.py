"""The collection as a user has it: its artifact, installed by ansible-galaxy into a place of its own.

What plays of the tests run is this, not the clone: a file that the artifact lacks is missed here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from build import collection
from build.paths import cache as cache_dir

COLLECTIONS = cache_dir() / "collections"
"""kubernetes.core and the others that it depends on."""


def install(archive: Path) -> str:
    """Install a built artifact, once for each content; returns the value for ANSIBLE_COLLECTIONS_PATH."""
    place = cache_dir() / "installed" / hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            galaxy = Path(sys.executable).parent / "ansible-galaxy"
            argv: list[str | Path] = [galaxy, "collection", "install", "--force", "--no-deps", "-p", place, archive]
            env = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
            subprocess.run(argv, cwd=place, env=env, check=True, stdout=subprocess.DEVNULL)
            (place / "complete").touch()
    return f"{place}:{COLLECTIONS}"


@cache
def ours() -> str:
    """Build this clone as it stands, and install it; returns the value for ANSIBLE_COLLECTIONS_PATH."""
    with tempfile.TemporaryDirectory(prefix="colocation-artifact-") as scratch:
        return install(collection.build(Path(scratch)))
