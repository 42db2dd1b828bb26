"""What the agent does when another is gone: the API server, kubelet, containerd, systemd's memory, the machine."""

from __future__ import annotations

import json
import time

import pytest

from .agent import JOURNAL, Agent
from .cluster import clear, limited, loosen, pod, running, values
from .machine import Machine

pytestmark = pytest.mark.lab
COMPLAINTS = "cpu.shares|cpu.idle|cpu.weight|OutOf|Failed to (ensure|update).*cgroup"


def test_api_server_away_an_hour_made_short(machine: Machine, agent: Agent, held: str) -> None:
    """Half a minute, with an agent killed in between. (An hour of rounds: tests/unit/agent/test_loop.py.)"""
    machine.api_away()
    try:
        agent.kill()
        agent.rounds(3)
        loosen(machine)
        machine.eventually(lambda: limited(values(machine)[held]), 10, "put back by the last known spec")
        time.sleep(15 * machine.slow)
        assert limited(values(machine)[held])
        machine.eventually(lambda: agent.metric("report_failures_total") >= 1, 60, "a report did not arrive")
    finally:
        machine.api_back()
    machine.eventually(lambda: agent.metric("reports_total") >= 1, 60, "reports arrive again")


def test_kubelet_and_containerd_restart(machine: Machine, agent: Agent, held: str) -> None:
    began = machine.ssh("date '+%F %T'").strip()
    machine.ssh("systemctl restart kubelet")
    machine.eventually(lambda: "Ready" in machine.kubectl("get", "node", machine.name).split(), 60, "Ready")
    machine.ssh("systemctl restart containerd")
    time.sleep(15 * machine.slow)
    assert limited(values(machine)[held])
    seen = machine.get("pod", "one")["status"]
    assert (seen["phase"], seen["containerStatuses"][0]["restartCount"]) == ("Running", 0)
    assert machine.ssh("systemctl show kubelet -p NRestarts --value").strip() == "0", "kubelet crashed"
    answer = machine.ssh(f"journalctl -u kubelet --since '{began}' --no-pager | grep -iE '{COMPLAINTS}'; true")
    assert answer == ""
    machine.apply(pod(machine, "two"))
    two = running(machine, "two")["two"]
    machine.eventually(lambda: limited(values(machine)[two]), 60, "a pod that came after is held too")


def test_daemon_reload_takes_nothing_away_for_long(machine: Machine, agent: Agent, held: str) -> None:
    """Any installation of a package does it; with the systemd driver it writes systemd's own properties back."""
    for _ in range(3):
        machine.ssh("systemctl daemon-reload")
        agent.rounds(2)
        machine.eventually(lambda: limited(values(machine)[held]), 5, "held again")


def test_reboot(machine: Machine, agent: Agent, held: str) -> None:
    """The groups are made anew; the journal of before is about others, and is not carried over to them."""
    before = machine.ssh(f"cat {JOURNAL}").splitlines()
    assert before
    agent.stop()
    machine.reboot()
    machine.eventually(lambda: "Ready" in machine.kubectl("get", "node", machine.name).split(), 60, "Ready")
    done = json.loads(agent.restore())
    assert (done["restored"], done["failed"]) == ([], [])
    assert len(done["gone"]) == len(before)
    clear(machine)  # (a lab node's groups outlive its reboot: the host's kernel keeps them)
    machine.apply(pod(machine, "after"))
    uid = running(machine, "after")["after"]
    # (kubelet may have begun with the pod of before, from its first list, when it was told that it is gone)
    machine.eventually(lambda: set(values(machine)) == {uid}, 180, "only that pod's group is there")
    fresh = values(machine)
    agent.start()
    machine.eventually(lambda: limited(values(machine)[uid]), 60, "held again")
    agent.kill_for_good()
    agent.restore()
    assert values(machine) == fresh
