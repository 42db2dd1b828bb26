"""Pods and Nodes in the corners: what the loop makes of them, one claim a test."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from colocation.kube.cache import Delete, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.manager import views
from colocation.manager.patches import Urgency
from colocation.model.facts import Evicted, Published, Qos
from colocation.model.policy import LabelSelector
from colocation.model.report import PodUsage

from .bench import FULL, GI, Bench, amounts, body_of

CARRIES = Published(5000, 60 * GI, 250)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.publish()
    return made


def explanation(bench: Bench) -> dict[str, Any]:
    result = views.explain(bench.loop, "n", bench.now)
    assert result is not None
    return dict(msgspec.to_builtins(result))


def explained(bench: Bench) -> str:
    result = explanation(bench)
    return str(result["reason"])


def test_a_cordoned_node_keeps_its_number(bench: Bench) -> None:
    bench.node(published=CARRIES, cordoned=True)
    assert bench.take() == []


def test_a_node_that_is_not_ready_keeps_its_number_until_its_agent_is_silent(bench: Bench) -> None:
    """NotReady is a condition and taints, neither of which is read: the agent's silence is what counts."""
    bench.node(published=CARRIES)
    bench.step(after=179)
    assert bench.take() == []
    bench.step(after=1)
    [job] = bench.take()
    assert amounts(job) == (None, None, None)


def test_a_node_that_has_become_smaller_offers_less_at_once_and_its_agent_is_told(bench: Bench) -> None:
    bench.node(cpu=8000, published=CARRIES)
    [spec] = bench.take("spec")
    assert body_of(spec)["spec"]["capacity"] == {"cpu": 8000, "memory": 100 * GI}
    bench.node(cpu=6000, published=CARRIES)
    [job] = bench.take()
    assert (amounts(job)[0], job.urgency) == ("2600", Urgency.SHRINK)


def test_a_node_that_has_become_larger_offers_more_after_the_window() -> None:
    bench = Bench()
    bench.sync()
    bench.policy(grow_after_seconds=60)
    bench.node()
    bench.take("spec")
    bench.report()
    for job in bench.take():
        bench.answer(job)
    bench.node(cpu=20000, published=CARRIES)
    assert bench.take() == []
    bench.now += 60
    [job] = bench.take()
    assert amounts(job)[0] == "11000"


def test_a_node_of_the_same_name_does_not_inherit_the_report_of_the_one_before(bench: Bench) -> None:
    bench.say(Delete(NODES, "n"))
    bench.step()
    bench.node(uid="another machine")
    [owner] = bench.take("spec")
    assert body_of(owner)["metadata"]["ownerReferences"][0]["uid"] == "another machine"
    assert "no report has arrived yet" in explained(bench)
    bench.report(at="its own", owner="another machine")
    [job] = bench.take()
    assert amounts(job) == FULL


def test_a_node_that_was_replaced_while_no_manager_ran_does_not_inherit_the_report_either() -> None:
    for order in (("node", "report"), ("report", "node")):
        bench = Bench()
        bench.policy()
        for what in order:
            if what == "node":
                bench.node(listed=True, uid="another machine")
            else:
                bench.report(listed=True)  # of uid-n
        bench.sync()
        assert bench.take() == []
        assert "no report has arrived yet" in explained(bench)


def test_a_leftover_nodecolocation_without_its_node_is_left_to_the_garbage_collector(bench: Bench) -> None:
    bench.say(Delete(NODES, "n"))
    bench.step()
    assert bench.writer.jobs == []
    bench.say(Delete(NODE_COLOCATIONS, "n"))
    assert bench.loop.state.nodes.get("n") is None or bench.loop.state.nodes["n"].empty


def test_what_an_annotation_reserves_is_not_published_and_is_told(bench: Bench) -> None:
    bench.node(published=CARRIES, cpu_annotated=3000, memory_annotated=20 * GI)
    [job] = bench.take()
    assert amounts(job) == ("3000", str(45 * GI), "250")
    result = explanation(bench)
    [system] = [term for term in result["cpu"]["terms"] if term["name"] == "system"]
    assert (system["value"], "annotation 3,000m" in system["source"]) == (-3000, True)


def test_an_annotation_with_garbage_closes_that_node_alone_and_says_so(bench: Bench) -> None:
    bench.node("m")
    bench.take("spec")
    bench.report("m")
    for job in bench.take():
        bench.answer(job)
    bench.node(published=CARRIES, problem="annotation x cannot be read")
    [job] = bench.take()
    assert (job.key[1], amounts(job)) == ("n", ("0", "0", "250"))
    assert "annotation x cannot be read" in explained(bench)


def test_a_pod_bound_by_hand_raises_nothing(bench: Bench) -> None:
    bench.pod("b", be=9000, running=False)
    [job] = bench.take()
    assert amounts(job) == ("5000", str(60 * GI), None)  # closed, and not a millicore more


def test_a_pod_that_no_report_has_seen_counts_with_its_request(bench: Bench) -> None:
    bench.pod("web", qos=Qos.LS)
    [job] = bench.take()
    assert amounts(job)[0] == "4700"  # 250m, down to a quantum


def test_a_report_of_a_pod_that_is_gone_counts_until_the_next_one(bench: Bench) -> None:
    row = PodUsage(uid="uid-web", cpu=2000, memory=GI)
    bench.pod("web", qos=Qos.LS)
    bench.report(at="seen", rows=(row,))
    [job] = bench.take()
    bench.answer(job)
    bench.say(Delete(PODS, "web"))
    assert bench.take() == []  # its processes may still run
    bench.report(at="later")
    [job] = bench.take()
    assert amounts(job)[0] == "5000"


def test_a_be_pod_that_asked_for_nothing_takes_what_it_uses(bench: Bench) -> None:
    bench.pod("b")
    bench.report(at="seen", rows=(PodUsage(uid="uid-b", cpu=700, memory=GI),))
    [job] = bench.take()
    assert amounts(job) == ("4300", str(59 * GI), "250")


def test_a_pod_evicted_by_its_kubelet_is_counted_and_gone(bench: Bench) -> None:
    bench.pod("b", be=1000)
    bench.take("spec")
    bench.say(Upsert(PODS, "b", Evicted("n"), False))
    node = bench.loop.state.nodes["n"]
    assert (node.evictions, node.pods, node.gone_be) == (1, {}, {"uid-b"})
    bench.say(Upsert(PODS, "b", Evicted("n"), False), Delete(PODS, "b"))  # its last words, and its deletion
    assert node.evictions == 1


def test_a_pod_evicted_by_the_api_is_counted_once_and_stays_until_it_has_ended(bench: Bench) -> None:
    bench.pod("b", be=1000)
    node = bench.loop.state.nodes["n"]
    leaving = msgspec.structs.replace(node.pods["b"], evicted=True)
    bench.say(Upsert(PODS, "b", leaving, False))
    bench.say(Upsert(PODS, "b", msgspec.structs.replace(leaving, running=False), False))
    assert (node.evictions, len(node.pods)) == (1, 1)


def test_an_edit_or_a_deletion_of_a_policy_touches_exactly_its_nodes(bench: Bench) -> None:
    bench.node("m", labels={"pool": "x"})
    bench.policy("x", priority=5, node_selector=LabelSelector(match_labels={"pool": "x"}))
    bench.take("spec")
    bench.report("m")
    for job in bench.take():
        bench.answer(job)
    bench.policy("x", generation=2, priority=5, node_selector=LabelSelector(match_labels={"pool": "x"}), max_pods=7)
    [job] = bench.take()
    assert (job.key[1], amounts(job)[2]) == ("m", "7")
    bench.answer(job)

    bench.say(Delete(POLICIES, "x"))
    [job] = bench.take()
    assert (job.key[1], amounts(job)[2]) == ("m", "250")


def test_the_spec_names_the_policy_that_won(bench: Bench) -> None:
    bench.policy("a")
    [job] = bench.take("spec")
    assert body_of(job)["spec"]["policy"] == {"name": "a"}
    result = explanation(bench)
    assert result["policy"]["reason"] == "same priority 0 as p; a sorts first"
    assert result["policy"]["others"] == ("p",)
