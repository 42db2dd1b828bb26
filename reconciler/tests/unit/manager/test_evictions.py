"""Whom the manager moves off a node that asks for it, when, and what the Node says meanwhile."""

from __future__ import annotations

import pytest

from colocation.kube.cache import Delete
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS
from colocation.kube.rest import ApiError
from colocation.manager import views
from colocation.manager.evictions import AGAIN_SECONDS, LEAVE_SECONDS, REFUSED_MOST
from colocation.manager.evictor import EvictionOutcome, body
from colocation.model.answers import EvictionExplanation
from colocation.model.facts import Qos
from colocation.model.phrase import say
from colocation.model.report import EvictionRequest

from .bench import GI, Bench

WHY = "memory in use is 90Gi of 100Gi"


def leave(*names: str) -> tuple[EvictionRequest, ...]:
    return tuple(EvictionRequest(uid=f"uid-{name}", reason="MemoryHigh", message=WHY) for name in names)


BUDGET = ApiError(429, "TooManyRequests", "Cannot evict: budget b")


@pytest.fixture
def bench() -> Bench:
    """A node that offers 6,000m, with a batch pod of 2,000m and an online one."""
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
    assert [say(one) for one in made.decision.closed] == [f"ns/batch is to leave: {WHY}"]


def test_what_is_allocated_to_running_pods_is_kept_until_they_are_gone(bench: Bench) -> None:
    bench.pod("ns/batch", be=5500)
    bench.report(cpu=2000, leave=leave("ns/batch"))
    for job in bench.take():
        bench.answer(job)
    assert number(bench) == (5500, False)
    bench.step()
    assert len(bench.asked) == 1


def test_the_headroom_of_a_pod_that_left_comes_back_only_when_the_agent_has_looked_again(bench: Bench) -> None:
    before, _ = number(bench)
    bench.report(leave=leave("ns/batch"))
    for job in bench.take():
        bench.answer(job)
    bench.step()
    bench.say(EvictionOutcome(bench.asked[0]))
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
        bench.say(EvictionOutcome(bench.asked[-1], BUDGET))
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
    bench.say(EvictionOutcome(bench.asked[0]))
    for _ in range(int(AGAIN_SECONDS) - 1):
        bench.step(after=1)
    assert len(bench.asked) == 1
    bench.step(after=2)
    assert len(bench.asked) == 2
    bench.say(EvictionOutcome(bench.asked[1]))
    bench.pod("ns/batch", be=2000, evicted=True)  # it is on its way: no hurry any more
    bench.step(after=AGAIN_SECONDS + 1)
    assert len(bench.asked) == 2
    assert [e["reason"] for e in bench.told if e["regarding"]["kind"] == "Pod"] == ["Evicted"]


def settle(bench: Bench) -> None:
    """Everything that is to be written is written."""
    for _ in range(4):
        for job in [*bench.take("node"), *bench.take("spec")]:
            bench.answer(job)


def names(bench: Bench) -> list[str]:
    return [eviction.pod.name for eviction in bench.asked]


@pytest.fixture
def two(bench: Bench) -> Bench:
    """Beside the batch pod another of 1,000m; the agent names it second."""
    bench.pod("ns/other", be=1000)
    settle(bench)
    bench.report(leave=leave("ns/batch", "ns/other"))
    settle(bench)
    assert names(bench) == ["ns/batch"]
    return bench


@pytest.mark.parametrize("code", [403, 422, 429, 500, 504])
def test_a_pod_that_is_refused_does_not_hold_up_the_next(two: Bench, code: int) -> None:
    assert number(two) == (3000, False), "4,700m less 2,000m, but no less than running pods request"
    two.say(EvictionOutcome(two.asked[0], ApiError(code, "No", "words")))
    (job,) = two.take()
    assert names(two) == ["ns/batch"], "not before the Node is lowered by what the next one requests"
    two.answer(job)
    two.step()
    assert names(two) == ["ns/batch", "ns/other"]
    assert number(two) == (3700, False)


def test_a_pod_that_the_api_server_does_not_know_gives_the_watch_time_to_say_so(two: Bench) -> None:
    two.say(EvictionOutcome(two.asked[0], ApiError(404, "NotFound", "pods batch not found")))
    two.step(after=1)
    settle(two)
    assert names(two) == ["ns/batch"]
    two.now += 4
    settle(two)
    assert names(two) == ["ns/batch", "ns/other"]


def test_an_api_server_that_does_not_answer_has_refused_no_pod(two: Bench) -> None:
    two.say(EvictionOutcome(two.asked[0], ApiError(0, "Unreachable", "connection refused")))
    while len(two.asked) == 1:
        two.step(after=1)
        settle(two)
    assert names(two) == ["ns/batch", "ns/batch"]
    assert two.loop.state.nodes["n"].refusals == ()


def test_after_an_eviction_the_node_looks_again_before_the_next(two: Bench) -> None:
    two.say(EvictionOutcome(two.asked[0]))
    settle(two)
    two.pod("ns/batch", be=2000, evicted=True)
    for _ in range(int(LEAVE_SECONDS) - 5):
        two.step(after=1)
    settle(two)
    two.say(Delete(PODS, "ns/batch"))
    two.now += 200
    settle(two)
    assert names(two) == ["ns/batch"], "the list is from before it left"


def test_the_wait_is_the_pods_own(two: Bench) -> None:
    two.say(EvictionOutcome(two.asked[0]))
    two.say(Delete(PODS, "ns/batch"))
    settle(two)
    two.now += 2
    two.report(at="u", leave=leave("ns/other"))
    settle(two)
    assert names(two) == ["ns/batch", "ns/other"]


def test_a_pod_that_cannot_end_does_not_hold_up_the_next_for_ever(two: Bench) -> None:
    two.say(EvictionOutcome(two.asked[0]))
    two.pod("ns/batch", be=2000, evicted=True)
    settle(two)
    two.now += LEAVE_SECONDS + 1
    settle(two)
    assert names(two) == ["ns/batch", "ns/other"]


def test_where_every_pod_is_refused_the_node_stays_closed_and_each_is_tried_again(two: Bench) -> None:
    for _ in range(40):
        two.say(*(EvictionOutcome(eviction, BUDGET) for eviction in two.asked[-1:]))
        asked = len(two.asked)
        while len(two.asked) == asked:
            two.step(after=1)
            settle(two)
            assert number(two)[1] is False
    last = names(two)[-10:]
    assert min(last.count("ns/batch"), last.count("ns/other")) >= 2
    assert two.now > 5 * REFUSED_MOST


def test_a_refusal_is_told_to_the_agent_by_explain_and_on_the_pod(two: Bench) -> None:
    two.say(EvictionOutcome(two.asked[0], BUDGET))
    settle(two)
    node = two.loop.state.nodes["n"]
    assert node.colocation is not None
    assert node.colocation.spec is not None
    (row,) = node.colocation.spec.eviction_refusals
    assert (row.uid, row.message) == ("uid-ns/batch", "429 TooManyRequests: Cannot evict: budget b")
    result = views.explain(two.loop, "n", two.now)
    assert result is not None
    assert result.evictions == (
        EvictionExplanation(pod="ns/batch", reason="MemoryHigh", message=WHY, next=False, refused=row.message),
        EvictionExplanation(pod="ns/other", reason="MemoryHigh", message=WHY, next=True, refused=None),
    )
    (event,) = [e for e in two.told if e["reason"] == "EvictionRefused"]
    assert event["regarding"]["name"] == "batch"
    two.say(EvictionOutcome(two.asked[1]), Delete(PODS, "ns/batch"))
    settle(two)
    assert node.colocation.spec.eviction_refusals == (), "told while the pod is there"


def test_what_is_remembered_of_evicted_pods_goes_with_them() -> None:
    """Ten days of made time: 2,000 pods leave, one after another, some after a refusal."""
    bench = Bench()
    bench.publish()
    for number in range(2000):
        name = f"ns/p{number}"
        bench.pod(name, be=1000)
        bench.report(at=str(number), leave=leave(name))
        settle(bench)
        bench.say(EvictionOutcome(bench.asked[-1], BUDGET if number % 3 == 0 else None))
        if number % 2:  # the answer comes after the watch has told
            bench.say(Delete(PODS, name), EvictionOutcome(bench.asked[-1]))
        else:
            bench.say(Delete(PODS, name))
        bench.now += 432
        bench.report(at=str(number))
        settle(bench)
    assert len({eviction.pod.name for eviction in bench.asked}) == 2000
    assert bench.loop.evictions._asked == {}
    assert not [key for key in bench.events._last if key[0] == "Pod"]
    assert bench.loop.state.nodes["n"].gone_be == set()


def test_what_is_remembered_of_a_node_goes_with_it(two: Bench) -> None:
    two.say(EvictionOutcome(two.asked[0], BUDGET), Delete(NODES, "n"))
    settle(two)
    two.say(EvictionOutcome(two.asked[-1], BUDGET))
    for name in ("ns/batch", "ns/other", "ns/online"):
        two.say(Delete(PODS, name))
    two.say(Delete(NODE_COLOCATIONS, "n"))
    two.step()
    assert two.loop.state.nodes == {}
    assert two.loop.evictions._asked == {}
    assert two.events._last == {}


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
