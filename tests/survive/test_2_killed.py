"""kill -9, again and again, at any moment; and what --restore makes of it."""

from __future__ import annotations

import json
import os
import threading
from typing import Self

import pytest

from .agent import HOME, JOURNAL, PYTHON, STATE, Agent
from .cluster import busy, clear, free, limited, pod, policy, running, values
from .machine import Machine

pytestmark = pytest.mark.lab


class Churn:
    """Best-effort pods come and go, and the policy is switched off and on, all the while."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        # Emulated, to start a pod takes ten seconds: more often, and they heap up until kubelet does nothing else.
        self.pause = 1.0 if machine.slow == 1 else 2.0 * machine.slow
        self.rounds = 0
        self.trouble: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._once()
            except Exception as error:
                self.trouble.append(str(error))
            self._stop.wait(self.pause)

    def _once(self) -> None:
        self.rounds += 1
        number = self.rounds
        self.machine.apply(pod(self.machine, f"churn{number}"))
        if number > 3:
            self.machine.kubectl(
                "delete", "pod", f"churn{number - 3}", "--grace-period=0", "--force", "--ignore-not-found"
            )
        policy(self.machine, enabled=number % 4 != 3)


def test_killed_in_a_loop_while_pods_churn(machine: Machine, agent: Agent) -> None:
    kills = int(os.environ.get("KILLS", "60" if machine.version == 1 else "15"))
    machine.apply(*(pod(machine, f"be{n}") for n in range(3)), pod(machine, "online", kind="LS"))
    fixed = running(machine, "be0", "be1", "be2")
    online = running(machine, "online")["online"]
    untouched = values(machine)[online]
    agent.stop()
    # A fresh process needs about half a second before its first round (here; ten times that when emulated).
    longest = 2.5 * machine.slow
    with Churn(machine) as churn:
        run = f"{PYTHON} {HOME}/files/killer.py {kills} {longest} {STATE} {agent.command}"
        seen = json.loads(
            machine.ssh(
                f"mkdir -p /run/secrets/kubernetes.io/serviceaccount && "
                f"cp {HOME}/login/* /run/secrets/kubernetes.io/serviceaccount/ && "
                f"KUBERNETES_SERVICE_HOST={machine.api[0]} KUBERNETES_SERVICE_PORT={machine.api[1]} {run}"
            )
        )
    print(f"{seen}; pods came and went {churn.rounds} times")
    assert (seen["kills"], seen["wrong"]) == (kills, []), seen
    assert churn.trouble == []
    assert seen["most_changed"] >= 3, "nothing was ever held: the kills came too early to say anything"
    policy(machine)
    agent.start()
    machine.eventually(lambda: all(limited(values(machine)[uid]) for uid in fixed.values()), 60, "held again")
    agent.rounds(2)
    assert values(machine)[online] == untouched

    def wrong() -> dict[str, dict[str, str]]:
        now = values(machine)
        there = {row["metadata"]["uid"] for row in machine.get("pods")["items"]}
        # A pod that is gone from the API and not yet from the machine may be held, or be as kubelet made it.
        right = {uid for uid, knobs in now.items() if limited(knobs) or (uid not in there and free(knobs))}
        return {uid: knobs for uid, knobs in now.items() if uid not in {online, *right}}

    # (The last pod of the churn may be on the machine before the agent has its spec.)
    machine.eventually(lambda: wrong() == {}, 20, "no pod keeps a wrong limit")
    lines = machine.ssh(f"cat {JOURNAL}").splitlines()
    assert all(json.loads(line)["path"] for line in lines)


def test_restore_after_kill_9_puts_everything_back_exactly(machine: Machine, agent: Agent) -> None:
    agent.stop()
    machine.apply(*(pod(machine, f"be{n}", busy(machine)) for n in range(2)), pod(machine, "online", kind="LS"))
    uids = running(machine, "be0", "be1", "online")
    before = values(machine)
    assert all(free(before[uids[name]]) for name in ("be0", "be1")), before
    agent.start()
    machine.eventually(lambda: all(limited(values(machine)[uids[n]]) for n in ("be0", "be1")), 60, "held")
    agent.kill_for_good()
    answer = json.loads(agent.restore())
    assert answer["failed"] == []
    assert len(answer["restored"]) >= 8, answer  # of each: quota, memory, idle, and the weight beside it
    assert values(machine) == before
    assert machine.ssh(f"test -e {JOURNAL} || echo gone") == "gone\n"
    assert json.loads(agent.restore()) == {"restored": [], "unchanged": [], "gone": [], "failed": []}


def test_pods_that_come_while_the_agent_looks_are_put_back_as_kubelet_made_them(machine: Machine, agent: Agent) -> None:
    """A group is there before kubelet has given it its values: what is noted then is not what to put back."""
    names = [f"be{n}" for n in range(6)]
    for name in names:
        machine.apply(pod(machine, name))
    uids = running(machine, *names)
    machine.eventually(lambda: all(limited(values(machine)[uid]) for uid in uids.values()), 60, "held")
    agent.kill_for_good()
    assert json.loads(agent.restore())["failed"] == []
    now = values(machine)
    assert {name: now[uid] for name, uid in uids.items() if not free(now[uid])} == {}


def test_disabling_puts_everything_back_exactly(machine: Machine, agent: Agent) -> None:
    agent.stop()
    machine.apply(*(pod(machine, f"be{n}", busy(machine)) for n in range(2)))
    uids = running(machine, "be0", "be1")
    before = values(machine)
    agent.start()
    machine.eventually(lambda: all(limited(values(machine)[uid]) for uid in uids.values()), 60, "held")
    policy(machine, enabled=False)
    machine.eventually(lambda: values(machine) == before, 20, "put back")
    clear(machine)
