"""Pods move off nodes that stay full: the excess, no more; one at a time; and never to and fro."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colocation.budget.moves import Excess, candidates
from colocation.kube.cache import Delete
from colocation.kube.resources import PODS
from colocation.kube.rest import ApiError
from colocation.manager import views
from colocation.manager.evictor import Eviction, EvictionOutcome
from colocation.manager.moves import KEPT_SECONDS, RESERVED_SECONDS
from colocation.model.facts import PodFacts, Qos
from colocation.model.policy import Evict, EvictCpu, EvictMemory
from colocation.model.report import EvictionRequest
from colocation.model.wire import Taint

from .bench import GI, Bench

SECONDS = 60
FREE = {"cpu": 0}
"""A report of a node whose online pods use nothing: 10,000m of which 60 % are sold."""


class Moving:
    """A cluster under our hand: the API server, kubelets and a scheduler that knows the open nodes."""

    def __init__(self, nodes: dict[str, int], seconds: int = SECONDS, **evict: Any) -> None:
        """``nodes``: name to the use of its online pods."""
        self.bench = Bench()
        self.bench.sync()
        self.bench.policy(evict=Evict(cpu=EvictCpu(closed_seconds=seconds), **evict))
        self.use = dict(nodes)
        self.moved: list[Eviction] = []
        self.pending: list[tuple[str, int]] = []
        self.lineage: dict[str, int] = {}
        self.serial = 0
        for name in nodes:
            self.bench.node(name)
        self.settle()

    def pod(self, node: str, be: int, name: str = "", **more: Any) -> str:
        self.serial += 1
        name = name or f"ns/p{self.serial}"
        self.bench.pod(name, be=be, node=node, uid=f"{name}-{self.serial}", **more)
        return name

    def settle(self) -> None:
        """Reports come, and what follows is written."""
        for name, use in self.use.items():
            self.bench.report(name, cpu=use)
        for _ in range(3):
            self.bench.step()
            jobs, self.bench.writer.jobs = self.bench.writer.jobs, []
            for job in jobs:
                self.bench.answer(job)

    def round(self, after: float = 10) -> list[Eviction]:
        """Time passes; what was asked is granted, and its replacement scheduled."""
        self.bench.now += after
        self.settle()
        asked = self.take()
        for eviction in asked:
            self.grant(eviction)
        self.place()
        return asked

    def take(self) -> list[Eviction]:
        asked = self.bench.asked[:]
        self.bench.asked.clear()
        return asked

    def grant(self, eviction: Eviction) -> None:
        assert eviction.places
        self.moved.append(eviction)
        self.bench.say(EvictionOutcome(eviction, place=eviction.places[0].name), Delete(PODS, eviction.pod.name))
        self.pending.append((eviction.pod.name, eviction.pod.be_cpu))

    def place(self) -> None:
        """What kube-scheduler would do: a node with the gate and room; the name is kept to see who comes back."""
        for name, be in list(self.pending):
            for node in sorted(self.use, key=lambda n: (-self.room(n), n)):
                facts = self.bench.loop.state.nodes[node].facts
                if facts is not None and facts.published.gate is not None and self.room(node) >= be:
                    self.pending.remove((name, be))
                    self.pod(node, be, name)
                    break

    def room(self, node: str) -> int:
        facts = self.bench.loop.state.nodes[node].facts
        return (facts.published.cpu or 0) - self.allocated(node) if facts is not None else 0

    def allocated(self, node: str) -> int:
        return sum(p.be_cpu for p in self.bench.loop.state.nodes[node].pods.values())

    def result(self, node: str) -> int:
        made = self.bench.loop.state.nodes[node].evaluation
        assert made is not None
        assert made.cpu is not None
        return made.cpu.result

    def excess(self, node: str) -> int:
        return self.allocated(node) - self.result(node)

    def gate(self, node: str) -> bool:
        facts = self.bench.loop.state.nodes[node].facts
        return facts is not None and facts.published.gate is not None


def full(pods: int = 6, be: int = 100, **more: Any) -> Moving:
    """Node a has 600m of best-effort pods and room for 200m; b is free."""
    moving = Moving({"a": 0, "b": 0}, **more)
    for _ in range(pods):
        moving.pod("a", be)
    moving.use["a"] = 5800
    moving.settle()
    return moving


def test_the_excess_moves_one_pod_at_a_time_and_then_nothing() -> None:
    moving = full()
    assert (moving.excess("a"), moving.gate("a")) == (400, False)
    for _ in range(SECONDS // 10 - 1):
        assert moving.round() == [], "not yet for long enough"
    for _ in range(30):
        assert len(moving.round()) <= 1
    assert len(moving.moved) == 4
    assert (moving.allocated("a"), moving.allocated("b")) == (200, 400)
    assert moving.gate("a")
    assert moving.pending == []
    assert all(e.request.reason == "NodeFull" for e in moving.moved)
    assert moving.moved[0].request.message == "400m more allocated than the node has for long; b has room"


def test_without_the_setting_nothing_moves() -> None:
    moving = full(seconds=0)
    for _ in range(30):
        assert moving.round() == []


def test_while_the_other_node_is_closed_nothing_moves_and_explain_says_so() -> None:
    moving = full()
    moving.use["b"] = 6000
    for _ in range(30):
        assert moving.round() == []
    explained = views.explain(moving.bench.loop, "a", moving.bench.now)
    assert explained is not None
    (row,) = explained.evictions
    assert row.stays == f"no other node that has been open for {SECONDS} s has room for it"


def test_a_node_that_is_not_full_all_the_time_keeps_its_pods() -> None:
    moving = full()
    for at in range(40):
        moving.use["a"] = 5800 if at % 4 else 5000
        assert moving.round() == []


@pytest.mark.parametrize("more", [{"cordoned": True}, {"label": False}])
def test_a_node_that_takes_no_pods_is_no_destination(more: dict[str, Any]) -> None:
    moving = full()
    known = moving.bench.loop.state.nodes["b"].facts
    assert known is not None
    moving.bench.node("b", published=known.published, **more)
    for _ in range(20):
        assert moving.round() == []


def test_labels_and_taints_of_the_destination_reach_the_one_who_reads_the_pod() -> None:
    moving = full()
    taint = Taint("dedicated", "x", "NoSchedule")
    known = moving.bench.loop.state.nodes["b"].facts
    assert known is not None
    moving.bench.node("b", taints=(taint,), labels={"pool": "p"}, published=known.published)
    moving.bench.now += SECONDS
    moving.settle()
    moving.bench.step(after=SECONDS)
    (asked,) = moving.take()
    assert asked.places is not None
    assert [(p.name, p.labels["pool"], p.taints, p.cpu) for p in asked.places] == [("b", "p", (taint,), 6000)]


def test_a_pod_that_stays_is_not_asked_again_and_the_next_one_is() -> None:
    moving = full(pods=3, be=200)
    moving.bench.now += SECONDS
    moving.settle()
    (first,) = moving.take()
    moving.bench.say(EvictionOutcome(first, kept="it has no controller that would create it again"))
    moving.settle()
    (second,) = moving.take()
    assert second.pod.uid != first.pod.uid
    refusal = ApiError(429, "TooManyRequests", "Cannot evict: budget b")
    moving.bench.say(EvictionOutcome(second, error=refusal))
    moving.settle()
    (third,) = moving.take()
    assert third.pod.uid not in (first.pod.uid, second.pod.uid)
    moving.bench.say(EvictionOutcome(third, kept="its volume v (hostPath) may be bound to this node"))
    for _ in range(20):
        moving.bench.now += 10
        moving.settle()
        assert moving.take() == []
    explained = views.explain(moving.bench.loop, "a", moving.bench.now)
    assert explained is not None
    assert {row.stays for row in explained.evictions} == {
        "it has no controller that would create it again",
        f"refused: {refusal}",
        "its volume v (hostPath) may be bound to this node",
    }
    moving.bench.now += KEPT_SECONDS
    moving.settle()
    assert len(moving.take()) == 1, "then it is tried again"


def test_a_pod_that_stays_costs_nothing_of_the_rate_limit() -> None:
    moving = full()
    bucket = moving.bench.loop.evictions._bucket
    bucket.rate, bucket._tokens = 1 / 3600, 1.0
    moving.bench.now += SECONDS
    moving.settle()
    (first,) = moving.take()
    assert bucket._tokens < 1
    moving.bench.say(EvictionOutcome(first, kept="no"))
    moving.settle()
    assert len(moving.take()) == 1


def test_what_the_agent_asks_for_goes_first() -> None:
    moving = full()
    moving.bench.now += SECONDS
    moving.use["a"] = 5800
    name = next(iter(moving.bench.loop.state.nodes["a"].pods.values()))
    leave = (EvictionRequest(uid=name.cgroup_uid, reason="MemoryHigh", message="memory"),)
    moving.bench.report("a", cpu=5800, leave=leave)
    for _ in range(3):
        moving.bench.step()
        jobs, moving.bench.writer.jobs = moving.bench.writer.jobs, []
        for job in jobs:
            moving.bench.answer(job)
    asked = moving.take()
    assert [(e.request.reason, e.places) for e in asked] == [("MemoryHigh", None)]


def test_room_that_a_pod_is_on_its_way_to_is_not_promised_twice() -> None:
    moving = Moving({"a": 0, "b": 0, "c": 0})
    for node in "ab":
        for _ in range(2):
            moving.pod(node, 500)
    moving.use.update(a=5400, b=5400, c=5300)
    moving.settle()
    for _ in range(20):
        moving.bench.now += 10
        moving.settle()
        for eviction in moving.take():
            moving.moved.append(eviction)  # evicted, and its Job is slow to make another
            moving.bench.say(EvictionOutcome(eviction, place="c"), Delete(PODS, eviction.pod.name))
        if moving.moved:
            break
    assert len(moving.moved) == 1
    for _ in range(int(RESERVED_SECONDS // 10) - 1):
        moving.bench.now += 10
        moving.settle()
        assert moving.take() == [], "c has room for one of the two"


def test_a_standby_moves_nothing() -> None:
    moving = full()
    moving.bench.leads = False
    for _ in range(20):
        assert moving.round() == []


def test_memory_that_is_full_moves_pods_too() -> None:
    moving = Moving({"a": 0, "b": 0}, seconds=0, memory=EvictMemory(closed_seconds=SECONDS))
    for _ in range(70):
        moving.pod("a", 1)  # 1 GiB each, of the 60 that are sold
    for _ in range(80):
        moving.round()
    assert len(moving.moved) == moving.allocated("b") > 0
    made = moving.bench.loop.state.nodes["a"].evaluation
    assert made is not None
    assert made.memory is not None
    assert 0 <= made.memory.result - made.allocated.memory < GI


def pods(*sizes: int, priority: int = 0) -> list[PodFacts]:
    return [
        PodFacts(f"u{n}", f"u{n}", f"ns/{size}", "a", Qos.BE, True, 0, 0, be_cpu=size, priority=priority)
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("sizes", "excess", "first"),
    [
        ((100, 300, 500), 350, [300, 100, 500]),
        ((500, 800, 400), 350, [400, 500, 800]),
        ((100, 0, 200), 350, [200, 100]),
        ((100,), 0, []),
    ],
)
def test_the_order_is_the_largest_within_the_excess_then_the_smallest_beyond(
    sizes: tuple[int, ...], excess: int, first: list[int]
) -> None:
    assert [p.be_cpu for p in candidates(pods(*sizes), Excess(cpu=excess))] == first


def test_the_lowest_priority_goes_first() -> None:
    mixed = [*pods(100), *pods(200, priority=-100)]
    assert [p.priority for p in candidates(mixed, Excess(cpu=150))] == [-100, 0]


SIZES = st.lists(st.sampled_from([100, 200, 500, 900, 1500]), max_size=6)
CLUSTERS = st.lists(st.tuples(SIZES, st.integers(0, 65)), min_size=2, max_size=5)


@given(CLUSTERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_in_any_cluster_no_more_than_the_excess_moves_and_no_pod_moves_twice(
    cluster: list[tuple[list[int], int]],
) -> None:
    """Nodes with any pods and any online use, which then stays: what moves, and that it comes to rest."""
    moving = Moving({f"n{at}": 0 for at in range(len(cluster))})
    for at, (sizes, use) in enumerate(cluster):
        for size in sizes:
            moving.pod(f"n{at}", size)
        moving.use[f"n{at}"] = use * 100
    moving.settle()
    before = {node: moving.excess(node) for node in moving.use}
    left: dict[str, int] = dict.fromkeys(moving.use, 0)
    quiet = 0
    for _ in range(150):
        moving.bench.now += 10
        moving.settle()
        open_before = {node for node in moving.use if moving.gate(node)}
        asked = moving.take()
        assert len(asked) <= 1, "one pod in the whole cluster at a time"
        for eviction in asked:
            excess, size = moving.excess(eviction.node), eviction.pod.be_cpu
            assert excess > 0, "only while there is an excess"
            here = [p.be_cpu for p in moving.bench.loop.state.nodes[eviction.node].pods.values()]
            others = [s for s in here if s <= excess and any(moving.room(n) >= s for n in open_before)]
            assert size <= excess or not others, "beyond the excess only where no smaller pod can move"
            assert eviction.node not in open_before
            moving.grant(eviction)
            left[eviction.node] += size
        moving.place()
        assert moving.pending == [], "what moves finds its place at once"
        quiet = 0 if asked else quiet + 1
        if quiet > 20:
            break
    assert quiet > 20, "it comes to rest"
    names = [e.pod.name for e in moving.moved]
    assert len(names) == len(set(names)), "no pod moves twice"
    for node, excess in before.items():
        own = [e.pod.be_cpu for e in moving.moved if e.node == node]
        assert sum(own) - (own[-1] if own else 0) < max(excess, 1), "the last one ends the excess, or did not"
        assert not own or excess > 0
    for node in moving.use:
        if moving.excess(node) > 0:
            sizes = [p.be_cpu for p in moving.bench.loop.state.nodes[node].pods.values() if p.be_cpu]
            rooms = [moving.room(n) for n in moving.use if moving.gate(n)]
            assert not any(room >= min(sizes) for room in rooms), "what can move has moved"
