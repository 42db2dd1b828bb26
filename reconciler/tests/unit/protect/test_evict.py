"""Who should leave, when, and why: memory by marks with reclaim first, CPU by long starvation, one at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.model.policy import Evict, EvictCpu, EvictMemory
from colocation.model.report import BePod, Capacity, EvictionRefusal, NodeColocationSpec, PolicyRef, Pressure
from colocation.protect.evict import RECLAIM_SECONDS, EvictionWatch, watch
from colocation.protect.sample import PodSample, Sample, Unavailable
from colocation.protect.wanted import Knobs

GIB = 1 << 30
BIG = BePod(uid="big", cpu_request=1000)
SMALL = BePod(uid="small", cpu_request=500)
LOW = BePod(uid="low", cpu_request=100, priority=-200)
CALM = Pressure()


def spec(*pods, **changes):
    fields = {
        "enabled": True,
        "policy": PolicyRef(name="p"),
        "capacity": Capacity(cpu=4000, memory=100 * GIB),
        "pods": pods,
    }
    return NodeColocationSpec(**{**fields, **changes})


def reading(at, memory, *, read=True, throttled=(), **uses):
    rows = tuple(
        PodSample(uid=uid, unavailable=Unavailable(use * GIB), throttled=uid in throttled) for uid, use in uses.items()
    )
    whole = None if memory is None else Unavailable(memory * GIB)
    return Sample(at=at, seconds=1.0, unavailable=whole if read else None, pods=rows, memory_read=read)


def first(state):
    """The pod that should leave now."""
    return state.requests[0] if state.requests else None


def order(state):
    return [request.uid for request in state.requests]


def run(result, *readings, held=None, pressure=CALM):
    state = EvictionWatch()
    for one in readings:
        state = watch(result, one, held or {}, pressure, state)
    return state


def test_below_the_high_mark_nobody_leaves_and_nothing_is_reclaimed():
    state = run(spec(BIG), reading(0, 84, big=9), reading(60, 84, big=9))
    assert (state.requests, state.reclaim) == ((), None)


def test_page_cache_is_reclaimed_before_anybody_has_to_leave():
    state = run(spec(BIG, SMALL), reading(0, 85, big=9, small=2))
    assert (state.requests, state.reclaim) == ((), "big")
    state = watch(spec(BIG, SMALL), reading(RECLAIM_SECONDS, 85, big=9, small=2), {}, CALM, state)
    assert first(state).uid == "big"
    assert first(state).reason == "MemoryHigh"
    assert "85Gi of 100Gi" in first(state).message


def test_once_above_the_high_mark_pods_leave_until_the_low_one():
    result = spec(BIG, SMALL)
    over = run(result, reading(0, 90, big=9, small=2), reading(10, 90, big=9, small=2))
    between = watch(result, reading(15, 82, small=2), {}, CALM, over)  # big has left
    assert first(between).uid == "small"
    below = watch(result, reading(20, 79, small=2), {}, CALM, between)
    assert below.requests == ()
    again = watch(result, reading(25, 82, small=2), {}, CALM, below)  # between the marks, from below: nothing
    assert again.requests == ()


@pytest.mark.parametrize(
    ("pods", "uses", "goes"),
    [
        ((BIG, LOW), {"big": 9, "low": 1}, "low"),
        ((BIG, SMALL), {"big": 9, "small": 2}, "big"),
        ((BIG, SMALL), {"big": 2, "small": 2}, "big"),
        ((BIG, SMALL), {"big": 0, "small": 2}, "small"),
    ],
    ids=["lowest priority", "frees most", "else by uid", "who uses nothing frees nothing"],
)
def test_the_order_in_which_pods_leave(pods, uses, goes):
    state = run(spec(*pods), reading(0, 90, **uses), reading(10, 90, **uses))
    assert first(state).uid == goes


def test_of_equals_the_youngest_leaves():
    result = spec(BIG, SMALL)
    state = run(result, reading(0, 50, big=2), reading(5, 90, big=2, small=2), reading(15, 90, big=2, small=2))
    assert first(state).uid == "small"


def test_one_at_a_time_and_always_the_same_until_it_is_gone():
    result = spec(BIG, SMALL)
    state = run(result, reading(0, 90, big=9, small=2), reading(10, 90, big=9, small=2))
    for at in (15, 20, 25):
        state = watch(result, reading(at, 90, big=1, small=8), {}, CALM, state)
        assert first(state).uid == "big"
    between = watch(result, reading(26, None, read=False, small=8), {}, CALM, state)
    assert between.requests == (), "gone; who is next is decided on a new reading of memory"


def test_the_others_are_named_in_order_for_when_the_first_cannot_be_evicted():
    pods = [BePod(uid=f"p{i}", priority=-i % 3) for i in range(12)]
    result, uses = spec(*pods), {f"p{i}": i for i in range(12)}
    state = run(result, reading(0, 90, **uses), reading(10, 90, **uses))
    assert order(state) == ["p9", "p6", "p3", "p11", "p8", "p5", "p2", "p10"]
    assert {request.reason for request in state.requests} == {"MemoryHigh"}


def test_a_pod_that_was_refused_goes_last_and_does_not_fill_the_list():
    pods = [BePod(uid=f"p{i}") for i in range(12)]
    uses = {f"p{i}": 12 - i for i in range(12)}
    refusals = tuple(EvictionRefusal(uid=f"p{i}", message="429 TooManyRequests: budget") for i in range(9))
    state = run(spec(*pods), reading(0, 90, **uses), reading(10, 90, **uses))
    assert order(state) == [f"p{i}" for i in range(8)]
    state = watch(spec(*pods, eviction_refusals=refusals), reading(15, 90, **uses), {}, CALM, state)
    assert order(state) == ["p9", "p10", "p11", "p0", "p1", "p2", "p3", "p4"]


def test_the_list_ends_when_one_of_its_pods_is_gone_until_memory_is_read_again():
    result = spec(BIG, SMALL)
    state = run(result, reading(0, 90, big=9, small=2), reading(10, 90, big=9, small=2))
    assert order(state) == ["big", "small"]
    state = watch(result, reading(11, None, read=False, big=9, small=2), {}, CALM, state)
    assert order(state) == ["big", "small"]
    assert order(watch(result, reading(12, None, read=False, big=9), {}, CALM, state)) == []
    assert order(watch(spec(SMALL), reading(12, None, read=False, big=9, small=2), {}, CALM, state)) == [], "no pod"


def test_memory_that_cannot_be_read_decides_nothing():
    result = spec(BIG)
    state = run(result, reading(0, 90, big=9), reading(10, None, big=9), reading(20, None, big=9))
    assert (state.requests, state.reclaim) == ((), None)
    assert state.over_since == 0


def test_pressure_counts_as_the_high_mark_where_the_policy_says_so():
    result = spec(BIG, evict=Evict(memory=EvictMemory(pressure_percent=20)))
    pressed = Pressure(memory=25.0)
    state = run(result, reading(0, 50, big=9), reading(10, 50, big=9), pressure=pressed)
    assert first(state).reason == "MemoryPressure"
    assert run(spec(BIG), reading(0, 50, big=9), reading(10, 50, big=9), pressure=pressed).requests == ()


def test_a_pod_that_starves_for_long_is_moved_away():
    result = spec(BIG, SMALL)
    held = {"big": Knobs(cpu=50), "small": Knobs(cpu=400)}
    state = EvictionWatch()
    for at in range(0, 601, 100):
        assert state.requests == ()
        state = watch(
            result, reading(at, None, read=False, throttled=("big", "small"), big=1, small=1), held, CALM, state
        )
    assert (first(state).uid, first(state).reason) == ("big", "CpuStarved")
    assert first(state).message == "for 600 s it was held to 50m of 1,000m asked for"
    fed = watch(result, reading(601, None, read=False, big=1, small=1), held, CALM, state)
    assert fed.requests == ()


def test_a_policy_of_0_percent_never_moves_a_starving_pod():
    result = spec(BIG, evict=Evict(cpu=EvictCpu(satisfaction_percent=0, starved_seconds=10)))
    state = run(
        result,
        *[reading(at, None, read=False, throttled=("big",), big=1) for at in (0, 20)],
        held={"big": Knobs(cpu=10)},
    )
    assert state.requests == ()


@pytest.mark.parametrize("changes", [{"enabled": False}, {"engine": "none"}])
def test_a_node_that_only_measures_asks_nobody_to_leave(changes):
    state = run(spec(BIG, **changes), reading(0, 99, big=9), reading(10, 99, big=9))
    assert state == EvictionWatch()


@given(
    st.lists(
        st.tuples(st.integers(0, 120) | st.none(), st.booleans(), st.integers(0, 50), st.integers(0, 50)), max_size=20
    )
)
def test_only_best_effort_pods_that_are_there_are_ever_asked(rounds):
    result, state = spec(BIG, SMALL), EvictionWatch()
    for step, (memory, read, big, online) in enumerate(rounds):
        uses = {"big": big, "online": online}
        state = watch(
            result, reading(step * 10, memory, read=read, throttled=("big", "online"), **uses), {}, CALM, state
        )
        assert {request.uid for request in state.requests} <= {"big"}
        assert state.reclaim in (None, "big")
