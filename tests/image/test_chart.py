"""The packaged chart of one commit is the same bytes wherever it is made."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from build.paths import version
from tests.image.conftest import Workshop


@pytest.mark.skipif(os.geteuid() != 0, reason="host names need root")
def test_the_chart_of_one_commit_is_the_same_archive_from_two_checkouts(tmp_path: Path) -> None:
    found = set()
    for name, time in (("one", 1_000_000_000), ("two", 1_700_000_000)):
        workshop = Workshop(tmp_path, name)
        for path in (workshop.clone / "charts").rglob("*"):
            os.utime(path, (time, time))
        workshop.make(module="build.chart")
        archive = workshop.clone / f"build/out/colocation-package-{version()}.tgz"
        found.add((hashlib.sha256(archive.read_bytes()).hexdigest(), archive.stat().st_mtime))
    assert len(found) == 1
