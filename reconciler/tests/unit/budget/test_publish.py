"""Publishing: never below what is promised, never raised by a promise, closed exactly while the room is smaller."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget.publish import Decision, Promised, decide, promised, published
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos

amount = st.integers(0, 10_000)


def node(before: Published = Published(), withdrawn: str | None = None) -> NodeFacts:
    return NodeFacts(
        name="n", uid="N", resource_version="1", labels={}, cpu_capacity=4000, cpu_allocatable=4000,
        memory_capacity=4000, memory_allocatable=4000, published=before, withdrawn=withdrawn,
    )  # fmt: skip


@given(amount, amount, amount, amount)
def test_properties_of_one_key(room: int, running: int, pending: int, before: int) -> None:
    value = published(room, running + pending, running, before)
    assert value >= room
    assert value >= running
    assert value <= max(room, running, before)  # a promise by itself raises nothing that was not there


@given(amount, amount, amount, amount)
def test_closed_exactly_while_the_room_is_smaller(
    room_cpu: int, room_memory: int, owed_cpu: int, owed_memory: int
) -> None:
    decision = decide(node(Published(1, 1, 9)), room_cpu, room_memory, Promised(owed_cpu, owed_memory), 9, None)
    assert (decision.gate is None) == (room_cpu < owed_cpu or room_memory < owed_memory)
    assert bool(decision.closed) == (decision.gate is None)


def test_a_pod_with_node_name_set_by_hand_does_not_raise_it() -> None:
    assert published(1_000, 100_000, 0, 1_000) == 1_000


def test_a_withdrawn_node_keeps_its_promise_without_a_gate() -> None:
    decision = decide(node(Published(2_000, 2_000, 9)), 0, 0, Promised(500, 600, 500, 600), 9, "stale")
    assert decision == Decision(500, 600, None, "stale", ("stale",))


def test_a_withdrawn_node_without_promises_loses_all_keys_together() -> None:
    assert decide(node(Published(2_000, 2_000, 9)), 0, 0, Promised(), 9, "stale") == Decision(
        None, None, None, "stale", ("stale",)
    )


def test_a_node_that_never_was_published_is_left_alone() -> None:
    assert decide(node(), 0, 0, Promised(), 9, "no label") == Decision(None, None, None)


@pytest.mark.parametrize("qos", list(Qos))
def test_promised_is_what_the_scheduler_counts_whatever_the_class(qos: Qos) -> None:
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
    assert promised([pod, waiting]) == Promised(600, 14, 300, 7)
