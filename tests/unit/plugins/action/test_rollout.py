from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.openfuyao.colocation.plugins.action import rollout


def test_a_run_that_is_at_work_here_is_not_gone():
    assert not rollout.is_gone(rollout.holder(os.getpid()))


def test_a_run_that_has_ended_here_is_gone():
    child = subprocess.Popen(["sleep", "60"])
    held = rollout.holder(child.pid)
    assert not rollout.is_gone(held)
    child.kill()
    child.wait()
    assert rollout.is_gone(held)


def test_a_killed_run_whose_parent_has_not_asked_is_gone_too():
    child = subprocess.Popen(["sleep", "60"])
    held = rollout.holder(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert rollout.is_gone(held)
    finally:
        child.wait()


@pytest.mark.parametrize("elsewhere", ["another-boot/pid:[1]", "", None])
def test_of_a_run_where_its_process_cannot_be_seen_nothing_is_known(monkeypatch, elsewhere):
    """The same host name, and a number that is no process here."""
    who, _pid, since, _where = rollout.holder(os.getpid()).split(":", 3)
    held = ":".join([who, "999999999", since] + ([] if elsewhere is None else [elsewhere]))
    assert not rollout.is_gone(held)


def test_another_process_with_the_number_is_not_the_run():
    who, pid, since, where = rollout.holder(os.getpid()).split(":", 3)
    assert rollout.is_gone(f"{who}:{pid}:{int(since) - 1}:{where}")
