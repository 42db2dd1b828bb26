"""What should be written, and the words that say why."""

from __future__ import annotations

import pytest

from colocation.model.policy import Suppress, SuppressCpu
from colocation.model.report import BePod, NodeColocationSpec, PolicyRef
from colocation.protect.sample import PodSample, Sample
from colocation.protect.wanted import MIN_QUOTA, Enforcement, Knobs, decide, fell

ALL = ("cpu.idle", "cpu.quota", "memory.limit")
GIB = 1 << 30


def spec(mode="auto", pods=(), **changes):
    fields = {
        "enabled": True,
        "policy": PolicyRef(name="p"),
        "suppress": Suppress(cpu=SuppressCpu(mode=mode, target_percent=65, min_percent=0)),
        "pods": pods,
    }
    return NodeColocationSpec(**{**fields, **changes})


def sample(cpu=1000, pods=(), seconds=1.0):
    return Sample(at=1.0, seconds=seconds, cpu=cpu, pods=pods)


A = BePod(uid="a", cpu_request=1000, cpu_limit=2000, memory_limit=GIB)
B = BePod(uid="b", cpu_request=1000)
ROWS = (PodSample(uid="a", cpu=500, throttled=True), PodSample(uid="b", cpu=100), PodSample(uid="online", cpu=400))


def test_auto_splits_what_online_leaves():
    decision = decide(spec(pods=(A, B)), sample(pods=ROWS), 4000, ALL)
    assert (decision.mode, decision.cpu_quota, decision.cpu_used) == ("idle+quota", 2200, 600)
    assert decision.pods == {
        "a": Knobs(cpu=2000, idle=True, memory=GIB),
        "b": Knobs(cpu=200, idle=True, memory=None),
    }
    assert decision.reason == "65 % of 4,000m is 2,600m; online and system use 400m, leaving 2,200m"


@pytest.mark.parametrize(
    ("mode", "knobs"),
    [
        ("auto", Knobs(cpu=2000, idle=True, memory=GIB)),
        ("quota", Knobs(cpu=2000, memory=GIB)),
        ("idle", Knobs(cpu=2000, idle=True, memory=GIB)),
        ("off", Knobs(memory=GIB)),
    ],
)
def test_modes(mode, knobs):
    decision = decide(spec(mode, pods=(A,)), sample(pods=ROWS[:1], cpu=500), 4000, ALL)
    assert decision.pods == {"a": knobs}


def test_idle_mode_has_no_ceiling():
    decision = decide(spec("idle", pods=(A, B)), sample(pods=ROWS, cpu=3900), 4000, ALL)
    assert (decision.cpu_quota, decision.pods["a"].cpu, decision.pods["b"].cpu) == (None, 2000, None)


@pytest.mark.parametrize(
    ("features", "mode", "knobs", "words"),
    [
        (("cpu.quota", "memory.limit"), "quota", Knobs(cpu=2000, memory=GIB), "the kernel has no cpu.idle"),
        (("cpu.idle", "memory.limit"), "idle", Knobs(idle=True, memory=GIB), "no CPU quota"),
        ((), "off", Knobs(memory=GIB), "no memory limit"),
    ],
)
def test_what_the_kernel_lacks_is_said_and_the_rest_works(features, mode, knobs, words):
    decision = decide(spec(pods=(A,)), sample(pods=ROWS[:1], cpu=500), 4000, features)
    assert decision.mode == mode
    assert decision.pods == {"a": knobs}
    assert words in decision.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"enabled": False}, "switched off by the policy"),
        ({"enabled": False, "policy": None}, "no policy selects"),
        ({"engine": "none"}, "only measuring"),
    ],
)
def test_everything_is_put_back(changes, words):
    decision = decide(spec(pods=(A, B), **changes), sample(pods=ROWS), 4000, ALL)
    assert decision.pods == {}
    assert decision.mode == "off"
    assert words in decision.reason


def test_online_pods_and_pods_that_are_not_here_get_nothing():
    ghost = BePod(uid="ghost", cpu_request=1000)
    assert decide(spec(pods=(A, ghost)), sample(pods=ROWS), 4000, ALL).pods.keys() == {"a"}


def test_without_headroom_the_kernels_minimum_is_left():
    decision = decide(spec(pods=(A, B)), sample(pods=ROWS, cpu=4600), 4000, ALL)
    assert decision.cpu_quota == 0
    assert {knobs.cpu for knobs in decision.pods.values()} == {MIN_QUOTA}


def test_the_floor():
    held = spec(pods=(A,), suppress=Suppress(cpu=SuppressCpu(target_percent=65, min_percent=10)))
    decision = decide(held, sample(pods=ROWS, cpu=4000), 4000, ALL)
    assert decision.cpu_quota == 400
    assert "the floor of 10 % is 400m" in decision.reason


def test_a_node_use_that_is_not_known_changes_nothing():
    before = Enforcement(cpu_quota=1500)
    decision = decide(spec(pods=(B,)), sample(pods=ROWS, cpu=None), 4000, ALL, before)
    assert (decision.cpu_quota, decision.pods["b"].cpu) == (1500, 1500)
    assert "not known" in decision.reason
    first = decide(spec(pods=(A, B)), sample(pods=ROWS, cpu=None), 4000, ALL)
    assert (first.cpu_quota, first.pods["a"].cpu, first.pods["b"].cpu) == (None, 2000, None)


@pytest.mark.parametrize(("node", "each", "ceiling"), [(1000, 0.1, 1620), (1000, 0.9, 1780), (3000, 10.99, 1798)])
def test_use_of_many_best_effort_pods_is_rounded_once_so_that_no_online_use_is_lost(node, each, ceiling):
    """200 pods: rounded up one by one, those of 0.1m would hide 180m of online use."""
    pods = tuple(BePod(uid=f"be{number}", cpu_request=100) for number in range(200))
    rows = tuple(PodSample(uid=pod.uid, cpu=each) for pod in pods)
    made = decide(spec(pods=pods), sample(node, rows), 4000, ALL)
    assert made.cpu_quota == ceiling


def test_down_at_once_and_up_slowly():
    pods = (B,)
    high = decide(spec(pods=pods), sample(cpu=100, pods=ROWS), 4000, ALL)
    low = decide(spec(pods=pods), sample(cpu=2600, pods=ROWS), 4000, ALL, high)
    up = decide(spec(pods=pods), sample(cpu=100, pods=ROWS), 4000, ALL, low)
    assert (high.cpu_quota, low.cpu_quota, up.cpu_quota) == (2600, 100, 500)
    assert "growing slowly" in up.reason


def test_a_pod_that_wakes_up_gets_its_part_a_round_later():
    idle = (PodSample(uid="a", cpu=0), PodSample(uid="b", cpu=2000, throttled=True))
    asleep = decide(spec(pods=(A, B)), sample(pods=idle, cpu=2000), 4000, ALL)
    assert asleep.pods["a"].cpu < 100
    woken = (PodSample(uid="a", cpu=20, throttled=True), idle[1])
    awake = decide(spec(pods=(A, B)), sample(pods=woken, cpu=2020), 4000, ALL, asleep)
    assert awake.pods["a"].cpu == awake.pods["b"].cpu == 1300


@pytest.mark.parametrize(
    ("before", "now", "again"),
    [(2000, 1700, True), (2000, 1900, False), (2000, 2400, False), (None, 100, False), (2000, None, False)],
)
def test_only_a_fall_beyond_the_usual_is_worth_a_second_look(before, now, again):
    assert fell(Enforcement(cpu_quota=before), Enforcement(cpu_quota=now), 4000) is again
