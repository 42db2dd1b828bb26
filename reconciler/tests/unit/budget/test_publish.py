"""Publishing: never below what is allocated nor raised by it, closed exactly while the headroom is smaller."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget.publish import Allocated, Decision, allocated_to, decide, published, unchanged
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.phrase import Phrase, phrase, say

amount = st.integers(0, 10_000)


STALE = phrase("staleReport", staleSeconds=180)


def node(before: Published = Published(), withdrawn: str | None = None) -> NodeFacts:
    return NodeFacts(
        name="n", uid="N", resource_version="1", labels={}, cpu_capacity=4000, cpu_allocatable=4000,
        memory_capacity=4000, memory_allocatable=4000, published=before, withdrawn=withdrawn,
    )  # fmt: skip


@given(amount, amount, amount, amount)
def test_properties_of_one_key(headroom: int, running: int, pending: int, before: int) -> None:
    value = published(headroom, running + pending, running, before)
    assert value >= headroom
    assert value >= running
    assert value <= max(headroom, running, before)  # requests by themselves raise nothing


@given(amount, amount, amount, amount)
def test_closed_exactly_while_the_headroom_is_smaller(
    headroom_cpu: int, headroom_memory: int, allocated_cpu: int, allocated_memory: int
) -> None:
    decision = decide(
        node(Published(1, 1, 9)), headroom_cpu, headroom_memory, Allocated(allocated_cpu, allocated_memory), 9, None
    )
    assert (decision.gate is None) == (headroom_cpu < allocated_cpu or headroom_memory < allocated_memory)
    assert bool(decision.closed) == (decision.gate is None)


counts = st.integers(0, 300)


@given(amount, amount, counts, counts, st.one_of(st.none(), st.just(STALE)), st.booleans())
def test_a_published_gate_is_never_below_the_bound_best_effort_pods(
    headroom: int,
    allocated: int,
    bound: int,
    max_pods: int,
    withdraw: Phrase | None,
    held: bool,
) -> None:
    allocated = Allocated(allocated, allocated, allocated, allocated, pods=bound)
    decision = decide(node(Published(1, 1, 9)), headroom, headroom, allocated, max_pods, withdraw, held=held)
    if decision.gate is None:
        assert decision.closed
    else:
        assert decision.gate == max_pods >= bound
        assert max_pods > 0


@pytest.mark.parametrize(("max_pods", "bound", "gate"), [(10, 50, None), (0, 50, None), (0, 0, None), (50, 50, 50)])
def test_a_limit_of_pods_below_those_that_run_closes_the_node(max_pods: int, bound: int, gate: int | None) -> None:
    decision = decide(node(Published(900, 900, 250)), 900, 900, Allocated(500, 500, 500, 500, bound), max_pods, None)
    assert (decision.cpu, decision.memory, decision.gate) == (900, 900, gate)
    assert decision.closed == (() if gate else (phrase("podsFull", maxPods=max_pods, boundPods=bound),))


def test_a_pod_with_node_name_set_by_hand_does_not_raise_it() -> None:
    assert published(1_000, 100_000, 0, 1_000) == 1_000


def test_a_withdrawn_node_keeps_what_is_allocated_without_a_gate() -> None:
    decision = decide(node(Published(2_000, 2_000, 9)), 0, 0, Allocated(500, 600, 500, 600), 9, STALE)
    assert decision == Decision(500, 600, None, say(STALE), (STALE,))


def test_a_withdrawn_node_with_nothing_allocated_loses_all_keys_together() -> None:
    assert decide(node(Published(2_000, 2_000, 9)), 0, 0, Allocated(), 9, STALE) == Decision(
        None, None, None, say(STALE), (STALE,)
    )


def test_a_node_that_never_was_published_is_left_alone() -> None:
    assert decide(node(), 0, 0, Allocated(), 9, STALE) == Decision(None, None, None)


@pytest.mark.parametrize("qos", list(Qos))
def test_allocated_is_what_the_scheduler_counts_whatever_the_class(qos: Qos) -> None:
    pod = PodFacts(
        uid="a",
        cgroup_uid="a",
        name="d/a",
        node="n",
        qos=qos,
        running=True,
        cpu=0,
        memory=0,
        be_cpu=300,
        be_memory=7,
    )
    waiting = msgspec.structs.replace(pod, uid="b", running=False)
    assert allocated_to([pod, waiting]) == Allocated(600, 14, 300, 7, pods=2)


def test_bound_pods_are_counted_by_what_they_ask_for_of_the_gate() -> None:
    pod = PodFacts("a", "a", "d/a", "n", Qos.BE, running=True, cpu=0, memory=0, be_cpu=1, gate=1)
    by_hand = msgspec.structs.replace(pod, uid="b", gate=5)
    before_admission = msgspec.structs.replace(pod, uid="c", gate=0)
    online = msgspec.structs.replace(pod, uid="d", gate=0, be_cpu=0, qos=Qos.LS)
    only_the_gate = msgspec.structs.replace(online, uid="e", gate=1)
    assert allocated_to([pod, by_hand, before_admission, online, only_the_gate]).pods == 1 + 5 + 1 + 0 + 1


def test_another_managers_gate_stands_only_where_it_holds_every_bound_pod() -> None:
    for gate, bound, stands in ((250, 9, True), (9, 9, True), (9, 10, False), (0, 0, False)):
        made = unchanged(node(Published(5, 5, gate)), Allocated(pods=bound), "another manager's")
        assert (made.cpu, made.memory, made.gate) == (5, 5, gate if stands else None)
        assert bool(made.closed) == (not stands)


def test_a_best_effort_pod_that_asks_for_nothing_counts_for_the_gate_all_the_same() -> None:
    pod = PodFacts("a", "a", "d/a", "n", Qos.BE, True, 0, 0)
    assert allocated_to([pod, msgspec.structs.replace(pod, qos=Qos.LS)]).pods == 1
