"""A state folder that is full, or read-only: nothing is changed that could not be put back; what is held stays held."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .agent import JOURNAL, STATE, Agent
from .cluster import enforced, free, limited, loosen, pod, running, values
from .machine import Machine

pytestmark = pytest.mark.lab
FILL = f"dd if=/dev/zero of={STATE}/ballast bs=4096 2>/dev/null; echo >> {STATE}/ballast; true"


@pytest.fixture
def small(machine: Machine, agent: Agent) -> Iterator[Agent]:
    """The agent with a state folder of 128 kB; the one before is put back afterwards."""
    agent.stop()
    agent.restore()
    machine.ssh(f"mkdir -p {STATE} && mount -t tmpfs -o size=128k tmpfs {STATE}")
    yield agent
    agent.stop()
    machine.ssh(f"mount -o remount,rw {STATE}; rm -f {STATE}/ballast")
    agent.restore()
    machine.ssh(f"umount {STATE}")


def test_disk_full(machine: Machine, small: Agent) -> None:
    small.start()
    machine.apply(pod(machine, "early"))
    early = running(machine, "early")["early"]
    machine.eventually(lambda: limited(values(machine)[early]), 60, "the first pod is held")
    machine.ssh(FILL)
    names = [f"late{n}" for n in range(8)]  # the journal's last block still has space for two or three
    machine.apply(*(pod(machine, name) for name in names))
    late = running(machine, *names).values()
    machine.eventually(lambda: "No space left" in enforced(machine)[1], 30, "the report says why")
    assert enforced(machine)[0] == "False"
    small.kill()  # also a fresh agent
    small.rounds(3)
    loosen(machine)
    machine.eventually(lambda: limited(values(machine)[early]), 15, "what was noted is still held")
    now, text = values(machine), machine.ssh(f"cat {JOURNAL}")
    noted = {json.loads(line)["uid"] for line in text.splitlines()}
    assert text.endswith("\n"), "no half line"
    assert {uid for uid in late if limited(now[uid])} <= noted
    assert all(free(now[uid]) for uid in late if uid not in noted), "what cannot be noted is not changed"
    assert not noted >= set(late), "the disk was not full"
    machine.ssh(f"rm {STATE}/ballast")
    machine.eventually(lambda: all(limited(values(machine)[uid]) for uid in late), 90, "there is space: all are held")
    machine.eventually(lambda: enforced(machine)[0] == "True", 30, "and said")


def test_restore_on_a_full_disk(machine: Machine, small: Agent) -> None:
    machine.apply(pod(machine, "one"))
    uid = running(machine, "one")["one"]
    before = values(machine)
    small.start()
    machine.eventually(lambda: limited(values(machine)[uid]), 60, "held")
    machine.ssh(FILL)
    small.kill_for_good()
    assert json.loads(small.restore())["failed"] == []
    assert values(machine) == before


def test_a_read_only_state_folder(machine: Machine, small: Agent) -> None:
    small.start()
    machine.apply(pod(machine, "early"))
    early = running(machine, "early")["early"]
    machine.eventually(lambda: limited(values(machine)[early]), 60, "the first pod is held")
    small.stop()
    machine.ssh(f"mount -o remount,ro {STATE}")
    small.start()  # it does not even get its lock file
    machine.apply(pod(machine, "late"))
    late = running(machine, "late")["late"]
    machine.eventually(lambda: "Read-only file system" in enforced(machine)[1], 30, "the report says why")
    small.rounds(2)
    now = values(machine)
    assert limited(now[early])
    assert free(now[late])
    machine.ssh(f"mount -o remount,rw {STATE}")
    machine.eventually(lambda: limited(values(machine)[late]), 90, "writable: the second pod is held")
