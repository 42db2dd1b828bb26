"""What was started beside a lab ends with it, and nothing else does."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.config import Lab
from tests.lab.lifecycle import end_recorded
from tests.lab.process import Daemon, start_time

WAITS = [sys.executable, "-c", "import time; time.sleep(1000)"]


def test_a_recorded_process_ends_and_one_that_has_its_pid_by_chance_does_not(tmp_path: Path) -> None:
    lab = Lab(ident=7, node_count=1, mem_kb=8, clone=tmp_path)
    beside, other = Daemon(lab.run / "console-proxy.pid"), Daemon(tmp_path / "other.pid")
    beside.start(WAITS, tmp_path / "log")
    other.start(WAITS, tmp_path / "log")
    theirs = other.pid
    assert theirs is not None
    # A record of an earlier day: the kernel has given that pid to somebody else since.
    (lab.run / "old.pid").write_text(f"{theirs} 1\n")
    mine = beside.pid
    assert mine is not None
    try:
        end_recorded(lab)
        assert start_time(mine) is None
        assert list(lab.run.iterdir()) == []
        assert other.pid == theirs
    finally:
        other.stop(3)


def test_without_a_lab_nothing_is_ended(tmp_path: Path) -> None:
    end_recorded(Lab(ident=7, node_count=1, mem_kb=8, clone=tmp_path))
