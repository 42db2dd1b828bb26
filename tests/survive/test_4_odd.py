"""What is not as it should be: a policy that asks for what the kernel lacks, counters that hold garbage."""

from __future__ import annotations

from typing import Any

import pytest

from .agent import Agent
from .cluster import enforced, free, limited, loosen, pod, policy, running, spoilt, values
from .machine import Machine

pytestmark = pytest.mark.lab
MEASURED = {"cpu", "cpuPeak", "memory", "memoryPeak"}


def test_a_policy_that_asks_for_what_the_kernel_lacks(machine: Machine, agent: Agent, held: str) -> None:
    """No machine here has resctrl; memory.high is v2's (and openEuler's)."""
    policy(machine, protect={"memoryHighPercent": 80, "resctrl": {"l3Percent": 20}})

    def supported() -> tuple[str, str, str]:
        rows = machine.get("ncol", machine.name)["status"]["conditions"]
        return next((row["status"], row["reason"], row["message"]) for row in rows if row["type"] == "Supported")

    machine.eventually(lambda: "no resctrl here" in supported()[2], 60, "the condition Supported says what is lacking")
    assert supported()[:2] == ("False", "FeatureMissing")
    loosen(machine)
    machine.eventually(lambda: limited(values(machine)[held]), 30, "the rest works")
    assert enforced(machine)[0] == "True"
    if machine.version == 2:
        page = 4096
        assert values(machine)[held]["memory.high"] == str((48 << 20) * 80 // 100 // page * page)
    else:
        assert "no memory.high here" in supported()[2]
    policy(machine)
    machine.eventually(lambda: supported()[0] == "True", 60, "nothing is asked for any more")
    if machine.version == 2:
        assert values(machine)[held]["memory.high"] == "max"


def test_counters_that_hold_garbage(machine: Machine, agent: Agent, held: str) -> None:
    """A fake: no kernel writes such files; one is mounted over the node's CPU counter and those of two pods."""
    machine.apply(pod(machine, "online", kind="LS"), pod(machine, "two"))
    uids = running(machine, "online", "two")
    online, two = uids["online"], uids["two"]

    def result(uid: str) -> dict[str, Any]:
        rows = machine.get("ncol", machine.name)["status"]["pods"]
        return next((row for row in rows if row["uid"] == uid), {})

    machine.eventually(
        lambda: "cpu" in result(online) and "cpu" in result(held) and "cpu" in result(two), 60, "all measured"
    )
    agent.stop()
    untouched = values(machine)[online]
    with spoilt(machine, held, online):
        loosen(machine)
        agent.start()
        machine.eventually(lambda: limited(values(machine)[held]), 30, "held all the same, by its own limit")
        machine.eventually(lambda: limited(values(machine)[two]), 30, "so is the other")
        # In a report of the new process: nothing is told of those two, and of the third what is true.
        machine.eventually(lambda: "cpu" in result(two), 90, "the third is measured")
        for uid in (held, online):
            machine.eventually(lambda: result(uid) and not result(uid).keys() & MEASURED, 90, "absent, not zero")  # noqa: B023
        assert "cpu" not in machine.get("ncol", machine.name)["status"].get("node", {})
        assert agent.metric("faults_total") == 0
        assert values(machine)[online] == untouched
        agent.stop()  # it has those files open
    agent.start()
    machine.eventually(lambda: "cpu" in result(held) and "cpu" in result(online), 60, "measured again")
    agent.kill_for_good()
    agent.restore()
    now = values(machine)
    assert all(free(now[uid]) for uid in (held, two))
    assert now[online] == untouched
