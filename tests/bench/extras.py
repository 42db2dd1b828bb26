# SPDX-License-Identifier: Apache-2.0
"""What only benches need: fetched into the cache folder by the first one, and in nobody else's way."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.lab.config import cache_dir
from tests.lab.progress import step

REQUIREMENTS = Path(__file__).parents[2] / "requirements/bench.txt"


def folder() -> Path:
    """Where matplotlib and py-spy are."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    found = cache_dir() / f"bench-{key}"
    if not (found / ".complete").exists():
        with step("fetching matplotlib and py-spy", "half a minute, once"):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--upgrade", "--target", str(found), "--requirement", str(REQUIREMENTS)], check=True)
            (found / ".complete").touch()
    return found
