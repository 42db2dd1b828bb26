"""Pods that are not ours to squeeze, in the middle of suppression: shown by the kernel's own throttling counters."""

from __future__ import annotations

import time

import pytest

from .agent import Agent
from .cluster import SPIN, limited, pod, running, throttled, values
from .machine import Machine

pytestmark = pytest.mark.lab


def test_kube_proxy_like_and_plain_best_effort_pods_are_never_touched(machine: Machine, agent: Agent) -> None:
    machine.apply(*(pod(machine, f"be{n}", SPIN) for n in range(2)))
    ours = running(machine, "be0", "be1")
    others = {"proxy": "critical", "plain": "plain", "online": "LS"}
    machine.apply(*(pod(machine, name, SPIN, kind=kind) for name, kind in others.items()))
    uids = {**running(machine, "plain", "online"), **running(machine, "proxy", namespace="kube-system")}
    agent.rounds(3)
    before = values(machine)
    assert all(limited(before[uid]) for uid in ours.values()), before
    counted = {name: throttled(machine, uid) for name, uid in {**uids, **ours}.items()}
    began = time.monotonic()
    while True:
        now = values(machine)
        assert {name: now[uid] for name, uid in uids.items()} == {name: before[uid] for name, uid in uids.items()}
        after = {name: throttled(machine, uid) for name, uid in {**uids, **ours}.items()}
        seconds, more = time.monotonic() - began, {name: after[name] - counted[name] for name in after}
        if seconds > 20 and (all(more[name] > 10 for name in ours) or seconds > 60):
            break
        time.sleep(1)
    print(f"times held back over {seconds:.0f} s: {more}")
    assert (after["proxy"], after["plain"]) == (0, 0), "no quota has ever held them back"
    # Beside three that spin, and whatever else this machine has to do, they get little to be held back at.
    assert all(after[name] > 0 for name in ours), "while the best-effort pods are held back"
    text = machine.ssh("cat /var/lib/openfuyao-colocation/journal")
    names = [uid for uid in uids.values() if uid in text or uid.replace("-", "_") in text]
    assert names == [], "the journal knows nothing of them"
