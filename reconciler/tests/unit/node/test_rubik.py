"""The keeper: rubik is restarted when its config changes, once, and only the rubik of our own pod.

The rubik here is a copy of `sleep` under that name: what is tested is who is ended when. (rubik itself: docs/rubik.md.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from colocation.node.rubik import FRESH, Folder, RubikRestarter, digest


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def rubik(tmp_path):
    """Start one; all are ended afterwards."""
    started = []
    program = tmp_path / "bin" / "rubik"
    program.parent.mkdir()
    shutil.copy(shutil.which("sleep"), program)

    def start():
        process = subprocess.Popen([program, "60"])
        started.append(process)
        end = time.monotonic() + 5
        while Path(f"/proc/{process.pid}/comm").read_text().strip() != "rubik" and time.monotonic() < end:
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_is_written_is_read_and_written_again_only_if_it_differs(folder, tmp_path):
    assert folder.config() is None
    folder.write("one")
    assert folder.config() == "one"
    first = (tmp_path / "config.json").stat().st_ino
    folder.write("one")
    assert (tmp_path / "config.json").stat().st_ino == first
    folder.write("two")
    assert folder.config() == "two"


def test_the_sign_says_by_which_config_rubik_runs_and_grows_old(folder, tmp_path):
    assert folder.runs_by() is None
    folder.sign("one")
    assert folder.runs_by() == digest("one")
    old = time.time() - FRESH - 1
    os.utime(tmp_path / "running", (old, old))
    assert folder.runs_by() is None
    folder.sign(None)
    folder.sign(None)
    assert not (tmp_path / "running").exists()


def test_rubik_is_restarted_when_its_config_changes_and_only_then(folder, rubik):
    keeper = RubikRestarter(folder)
    assert keeper.step() == "none"
    folder.write("one")
    assert keeper.step() == "none"
    time.sleep(0.05)  # a process's start is known to a hundredth of a second
    first = rubik()
    assert [keeper.step(), keeper.step()] == ["running", "running"]
    assert folder.runs_by() == digest("one")
    time.sleep(0.05)
    folder.write("two")
    assert keeper.step() == "old"
    assert folder.runs_by() is None, "the agent must not take the old one for the new"
    assert first.wait(5) == -15
    second = rubik()
    assert keeper.step() == "running"
    assert folder.runs_by() == digest("two")
    assert second.poll() is None


def test_one_that_takes_its_time_to_end_is_asked_once_and_not_taken_for_the_new_one(folder, rubik):
    folder.write("one")
    keeper, slow = RubikRestarter(folder), rubik()
    os.kill(slow.pid, 19)  # stopped: SIGTERM has to wait
    time.sleep(0.05)
    folder.write("two")
    assert [keeper.step(), keeper.step(), keeper.step()] == ["old", "ending", "ending"]
    assert folder.runs_by() is None
    os.kill(slow.pid, 18)


def test_a_clock_that_was_set_back_ends_one_process_and_not_every_new_one(folder, rubik, tmp_path):
    folder.write("one")
    ahead = time.time() + 3600
    os.utime(tmp_path / "config.json", (ahead, ahead))
    keeper, first = RubikRestarter(folder), rubik()
    assert keeper.step() == "old"
    first.wait(5)
    rubik()
    assert [keeper.step(), keeper.step()] == ["running", "running"]


def test_another_pods_rubik_is_not_ours(folder, rubik, tmp_path):
    """A made /proc: a fake, for two pods on one machine cannot be had in a unit test."""
    proc = tmp_path / "proc"
    for pid, pod, comm in (
        ("self", "aa", "colocation"),
        ("10", "bb", "rubik"),
        ("11", "aa", "sh"),
        ("12", "aa", "rubik"),
    ):
        (proc / pid).mkdir(parents=True)
        (proc / pid / "cgroup").write_text(f"4:cpu:/kubepods/burstable/pod{pod}/c\n")
        (proc / pid / "comm").write_text(comm + "\n")
        (proc / pid / "stat").write_text("12 (rub) k) S " + " ".join(["0"] * 18) + " 4200 0\n")
    found = RubikRestarter(folder, str(proc)).find()
    assert found is not None
    assert found.pid == 12
