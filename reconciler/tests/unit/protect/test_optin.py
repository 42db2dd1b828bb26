"""What is opt-in: nothing by default, what the kernel lacks is said, and nothing a pod could not live with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.model.policy import Disk, Protect, Resctrl
from colocation.model.report import BePod, OnlinePod
from colocation.protect.optin import LEAST_BYTES, LEAST_HIGH, LEAST_OPS, Cache, Extra, OptIn, opt_in

ALL = frozenset({"memory.high", "memory.low", "cpu.burst", "io.weight", "io.throttle", "resctrl", "resctrl.bandwidth"})
GIB = 1 << 30
BE = BePod(uid="be", cpu_request=1000, memory_limit=GIB)
ONLINE = OnlinePod(uid="on", memory_request=GIB)


def decide(protect, features=ALL, owned=()):
    return opt_in(protect, [BE], [ONLINE], features, owned)


def test_nothing_is_done_unless_it_is_asked_for():
    assert decide(Protect()) == OptIn()
    assert decide(Protect(), ()) == OptIn(), "and nothing is missed"


@pytest.mark.parametrize(
    ("protect", "offline", "online"),
    [
        (Protect(memory_high_percent=90), Extra(memory_high=GIB * 90 // 100), None),
        (Protect(memory_low_percent=50), None, Extra(memory_low=GIB // 2)),
        (Protect(burst_percent=40), None, Extra(burst_percent=40)),
        (Protect(disk=Disk(weight=10)), Extra(disk=Disk(weight=10)), None),
        (Protect(disk=Disk(read_bytes_per_second=5 << 20)), Extra(disk=Disk(read_bytes_per_second=5 << 20)), None),
        (
            Protect(disk=Disk(write_ops_per_second=1, read_bytes_per_second=1)),
            Extra(disk=Disk(write_ops_per_second=10, read_bytes_per_second=1 << 20)),
            None,
        ),
        (
            Protect(memory_high_percent=80, burst_percent=10, disk=Disk(weight=1)),
            Extra(memory_high=GIB * 80 // 100, disk=Disk(weight=1)),
            Extra(burst_percent=10),
        ),
    ],
)
def test_each_switch_does_its_own(protect, offline, online):
    made = decide(protect)
    assert dict(made.offline) == ({"be": offline} if offline else {})
    assert dict(made.online) == ({"on": online} if online else {})
    assert made.lacks == ()
    assert made.cache is None


def test_cache_and_bandwidth_are_one_group():
    assert decide(Protect(resctrl=Resctrl(l3_percent=30))).cache == Cache(30, 0)
    lacking = decide(Protect(resctrl=Resctrl(l3_percent=30)), ())
    assert lacking.cache is None
    assert lacking.lacks == ("protect.resctrl.l3Percent: no resctrl here",)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("memory.high", "protect.memoryHighPercent: no memory.high here"),
        ("memory.low", "protect.memoryLowPercent: no memory.low here"),
        ("cpu.burst", "protect.burstPercent: no cpu.burst here"),
        ("io.weight", "protect.disk.weight: no io.weight here"),
        ("io.throttle", "protect.disk: no io.throttle here"),
    ],
)
def test_what_is_missing_is_said_and_the_rest_is_done(missing, words):
    wanted = Protect(
        memory_high_percent=80, memory_low_percent=50, burst_percent=40, disk=Disk(weight=10, read_ops_per_second=100)
    )
    made = decide(wanted, ALL - {missing})
    assert made.lacks == (words,)
    whole = decide(wanted)
    assert (dict(made.offline), dict(made.online)) != (dict(whole.offline), dict(whole.online))
    assert made.offline["be"] != Extra()
    assert made.online["on"] != Extra()


def test_what_another_engine_holds_is_neither_done_nor_missed():
    made = decide(Protect(memory_high_percent=80, burst_percent=40), (), owned={"memory.high", "cpu.burst"})
    assert made == OptIn()


amounts = st.integers(0, 1 << 44)
protects = st.builds(
    Protect,
    memory_high_percent=st.integers(0, 100),
    memory_low_percent=st.integers(0, 100),
    burst_percent=st.integers(0, 100),
    disk=st.builds(
        Disk, weight=st.integers(0, 1000), read_bytes_per_second=amounts, write_ops_per_second=st.integers(0, 10**7)
    ),
)


@given(protects, st.none() | amounts, amounts, st.sets(st.sampled_from(sorted(ALL))))
def test_never_what_a_pod_cannot_live_with(protect, limit, request, features):
    made = opt_in(
        protect, [BePod(uid="be", memory_limit=limit)], [OnlinePod(uid="on", memory_request=request)], features
    )
    assert bool(made.lacks) <= bool(ALL - features)
    for extra in made.offline.values():
        assert extra.memory_low is None
        assert extra.burst_percent == 0
        if extra.memory_high is not None:
            assert LEAST_HIGH <= extra.memory_high <= limit
        if extra.disk:
            assert extra.disk.read_bytes_per_second == 0 or extra.disk.read_bytes_per_second >= LEAST_BYTES
            assert extra.disk.write_ops_per_second == 0 or extra.disk.write_ops_per_second >= LEAST_OPS
    for extra in made.online.values():
        assert extra.memory_high is None
        assert extra.disk is None
        assert extra.memory_low is None or 0 < extra.memory_low <= request
