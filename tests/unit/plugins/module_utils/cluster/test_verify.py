# SPDX-License-Identifier: Apache-2.0
"""Which node is probed, what its sandbox is, and how the probes' own words are judged."""

from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _verify

GI = 1 << 30


def row(name, be_pods=0, cpu=2000, memory=4 * GI, allocated=0, is_open=True):
    return {
        "node": name,
        "open": is_open,
        "bePods": be_pods,
        "cpu": {"published": cpu, "allocated": allocated, "capacity": 4000},
        "memory": {"published": memory, "allocated": 0, "capacity": 8 * GI, "used": GI},
    }


def test_a_node_without_best_effort_pods_goes_before_one_that_offers_more():
    found, why = _verify.pick([row("busy", be_pods=1, cpu=9000), row("a"), row("b", cpu=3000)], ["busy", "a", "b"])
    assert (found["node"], why) == ("b", "")


def test_a_busy_node_is_probed_without_a_sandbox_and_it_is_said():
    found, why = _verify.pick([row("busy", be_pods=1)], ["busy"])
    assert found["node"] == "busy"
    assert "other best-effort pods" in why


@pytest.mark.parametrize(
    "only",
    [row("a", is_open=False), row("a", cpu=399), row("a", cpu=2000, allocated=1700), row("a", memory=GI // 16), row("other")],
)
def test_without_headroom_there_is_no_probe(only):
    found, why = _verify.pick([only], ["a"])
    assert found is None
    assert "no node is open and has 400m" in why


def test_the_sandbox_is_for_one_node_and_only_the_probes_fit():
    spec = {"priority": 3, "oversell": {"cpu": {"strategy": "usage"}, "maxPods": 250}, "rollout": {"percent": 10}}
    made = _verify.sandbox(spec, "node-7", **_verify.FULL)["spec"]
    assert made["nodeSelector"] == {"matchLabels": {"kubernetes.io/hostname": "node-7"}}
    assert made["oversell"] == {"cpu": {"strategy": "usage"}, "maxPods": _verify.PROBES}
    assert (made["priority"], made["evict"]["memory"]["highPercent"], "rollout" in made) == (1000, 2, False)
    assert spec["oversell"]["maxPods"] == 250, "the policy itself is left alone"


def test_the_load_is_more_than_what_is_left_under_the_target_on_any_node():
    for capacity in (2_000, 64_000, 512_000):
        assert _verify.load_of(capacity) > capacity * _verify.TARGET / 100


def test_an_idle_node_is_filled_a_little_and_a_large_idle_one_not_at_all():
    assert _verify.fill_of({"capacity": 8 * GI, "used": GI}) == 0
    assert _verify.fill_of({"capacity": 8 * GI, "used": 0}) == 246
    assert _verify.fill_of({"capacity": 512 * GI, "used": GI}) is None


def test_the_rate_is_that_of_the_last_seconds_by_the_probes_own_clock():
    log = "".join(f"{at / 2} {min(at / 2, 5) + max(0, at / 2 - 5) * 0.2}\n" for at in range(40))
    assert _verify.rate(log, 5) == pytest.approx(0.2)
    assert _verify.rate("1 0.1\n1.5 0.2\n", 5) is None, "too short"
    assert _verify.rate("", 5) is None


def test_killed_by_the_kernel_is_told_from_an_end_of_its_own():
    def ended(code):
        return {"status": {"containerStatuses": [{"state": {"terminated": {"exitCode": code, "reason": "x"}}}]}}

    assert _verify.killed({"status": {"containerStatuses": [{"state": {"running": {}}}]}}) is None
    assert _verify.killed(ended(137)) == "killed"
    assert _verify.killed(ended(0)) == "ended with 0 (x)"


def test_a_pod_that_was_not_converted_is_told():
    amounts = {"kubernetes.io/be-cpu": "200", "kubernetes.io/be-memory": "64Mi", "colocation.openfuyao.com/be-pods": "1"}
    good = {"spec": {"priorityClassName": "priority-be", "containers": [{"resources": {"requests": amounts, "limits": amounts}}]}}
    assert _verify.admitted(good) is None
    plain = {"spec": {"containers": [{"resources": {"requests": {"cpu": "200m"}}}]}}
    assert "not admitted" in _verify.admitted(plain)
    assert "priority class" in _verify.admitted({"spec": {**good["spec"], "priorityClassName": "other"}})
