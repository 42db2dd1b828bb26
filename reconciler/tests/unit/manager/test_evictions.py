"""Whom the manager moves off a node that asks for it, when, and what the Node says meanwhile."""

from __future__ import annotations

import pytest

from colocation.kube.cache import Delete
from colocation.kube.resources import PODS
from colocation.kube.rest import ApiError
from colocation.manager.evictions import AGAIN_SECONDS, Outcome, body
from colocation.model.facts import Qos
from colocation.model.report import EvictionRequest

from .bench import GI, Bench

WHY = "memory in use is 90Gi of 100Gi"


def leave(name: str) -> tuple[EvictionRequest, ...]:
    return (EvictionRequest(uid=f"uid-{name}", reason="MemoryHigh", message=WHY),)


@pytest.fixture
def bench() -> Bench:
    """A node that sells 6,000m, with a batch pod of 2,000m and an online one."""
    bench = Bench()
    bench.publish()
    bench.pod("ns/batch", be=2000)
    bench.pod("ns/online", qos=Qos.LS)
    for job in bench.take():
        bench.answer(job)
    return bench


def number(bench: Bench) -> tuple[int | None, bool]:
    """be-cpu as the Node carries it, and whether it is open."""
    facts = bench.loop.state.nodes["n"].facts
    assert facts is not None
    return facts.published.cpu, facts.published.gate is not None


def test_the_node_is_lowered_and_closed_before_the_pod_is_asked_to_leave(bench: Bench) -> None:
    before, _ = number(bench)
    assert before is not None
    bench.report(leave=leave("ns/batch"))
    (job,) = bench.take()
    assert bench.asked == [], "not before the Node says so"
    bench.answer(job)
    bench.step()
    assert number(bench) == (before - 2000, False)
    assert [eviction.pod.name for eviction in bench.asked] == ["ns/batch"]
    made = bench.loop.state.nodes["n"].evaluation
    assert made is not None
    assert made.decision.closed == (f"ns/batch is to leave: {WHY}",)


def test_what_is_promised_to_running_pods_is_kept_until_they_are_gone(bench: Bench) -> None:
    bench.pod("ns/batch", be=5500)
    bench.report(cpu=2000, leave=leave("ns/batch"))
    for job in bench.take():
        bench.answer(job)
    assert number(bench) == (5500, False)
    bench.step()
    assert len(bench.asked) == 1


def test_the_room_of_a_pod_that_left_comes_back_only_when_the_agent_has_looked_again(bench: Bench) -> None:
    before, _ = number(bench)
    bench.report(leave=leave("ns/batch"))
    for job in bench.take():
        bench.answer(job)
    bench.step()
    bench.say(Outcome(bench.asked[0]))
    bench.say(Delete(PODS, "ns/batch"))
    for job in bench.take():
        bench.answer(job)
    assert number(bench)[1] is False
    bench.report(at="u")
    for job in bench.take():
        bench.answer(job)
    assert number(bench) == (before, True)
    assert len(bench.asked) == 1


@pytest.mark.parametrize("uid", ["ns/online", "ns/elsewhere", "nobody"])
def test_only_best_effort_pods_of_that_node_are_ever_asked(bench: Bench, uid: str) -> None:
    bench.node("m")
    bench.pod("ns/elsewhere", be=1000, node="m")
    bench.report(leave=leave(uid))
    for job in bench.take():
        bench.answer(job)
    bench.step(after=60)
    assert bench.asked == []


def test_a_wish_from_before_this_manager_started_is_not_carried_out() -> None:
    bench = Bench()
    bench.policy()
    bench.node(listed=True)
    bench.report(listed=True, leave=leave("ns/batch"))
    bench.pod("ns/batch", be=2000)
    bench.sync()
    for _ in range(3):
        for job in bench.take():
            bench.answer(job)
    assert bench.asked == []


def test_a_refusal_is_tried_again_later_and_later_and_told(bench: Bench) -> None:
    bench.report(leave=leave("ns/batch"))
    for job in bench.take():
        bench.answer(job)
    waits = []
    for _ in range(3):
        began = bench.now
        asked = len(bench.asked)
        while len(bench.asked) == asked:
            bench.step(after=1)
            for job in bench.take():
                bench.answer(job)
            bench.report(at=str(bench.now), leave=leave("ns/batch"))
        waits.append(bench.now - began)
        bench.say(Outcome(bench.asked[-1], ApiError(429, "TooManyRequests", "Cannot evict: budget b")))
    assert waits[0] < 5 <= waits[1] <= 11
    assert waits[1] < waits[2] <= 22
    (event,) = [e for e in bench.told if e["reason"] == "EvictionRefused"]
    assert event["metadata"]["namespace"] == "ns"
    assert event["regarding"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "batch",
        "namespace": "ns",
        "uid": "uid-ns/batch",
    }
    assert "budget b" in event["note"]


def test_one_that_was_granted_is_asked_once_and_again_if_it_stays(bench: Bench) -> None:
    bench.report(leave=leave("ns/batch"))
    for job in bench.take():
        bench.answer(job)
    bench.step()
    bench.say(Outcome(bench.asked[0]))
    for _ in range(int(AGAIN_SECONDS) - 1):
        bench.step(after=1)
    assert len(bench.asked) == 1
    bench.step(after=2)
    assert len(bench.asked) == 2
    bench.say(Outcome(bench.asked[1]))
    bench.pod("ns/batch", be=2000, evicted=True)  # it is on its way: no hurry any more
    bench.step(after=AGAIN_SECONDS + 1)
    assert len(bench.asked) == 2
    assert [e["reason"] for e in bench.told if e["regarding"]["kind"] == "Pod"] == ["Evicted"]


def test_so_many_a_minute_in_the_whole_cluster() -> None:
    bench = Bench(per_minute=6)
    bench.sync()
    bench.policy()
    for i in range(8):
        bench.node(f"n{i}")
        bench.report(f"n{i}")
        bench.pod(f"ns/p{i}", be=1000, node=f"n{i}")
    for _ in range(4):
        for job in bench.take():
            bench.answer(job)
    for i in range(8):
        bench.report(f"n{i}", at="u", leave=leave(f"ns/p{i}"))
    for _ in range(4):
        for job in bench.take():
            bench.answer(job)
    assert len(bench.asked) == 5, "a burst"
    for second in range(31):
        bench.step(after=1)
        assert len(bench.asked) <= 5 + (second + 1) // 10
    assert len(bench.asked) == 8


def test_who_does_not_lead_evicts_nobody(bench: Bench) -> None:
    bench.leads = False
    bench.report(leave=leave("ns/batch"))
    bench.step()
    bench.step(after=60)
    assert bench.asked == []


def test_an_eviction_names_that_very_pod(bench: Bench) -> None:
    pod = bench.loop.state.nodes["n"].pods["ns/batch"]
    assert pod.be_memory == GI
    assert body(pod) == {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "batch", "namespace": "ns"},
        "deleteOptions": {"preconditions": {"uid": "uid-ns/batch"}},
    }
