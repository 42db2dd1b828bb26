# SPDX-License-Identifier: Apache-2.0
"""What one tool of ours alone needs, of requirements/NAME.txt: in the cache folder, and in nobody else's way."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from .config import CLONE, cache_dir
from .progress import step


def extras(name: str) -> Path:
    """A folder for PYTHONPATH, filled by the first who asks."""
    wanted = CLONE / f"requirements/{name}.txt"
    key = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_dir() / f"extras-{name}-{key}"
    if not folder.is_dir():
        with step(f"fetching what requirements/{name}.txt names", "half a minute, once"):
            temporary = folder.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--target", str(temporary), "--requirement", str(wanted)], check=True)
            temporary.rename(folder)
    return folder
