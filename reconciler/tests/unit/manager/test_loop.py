"""The loop without threads: events in, jobs out, time by hand."""

from __future__ import annotations

import itertools
import queue
import time

import msgspec
import pytest
from msgspec import Raw

from colocation.kube.cache import Bad, Delete, Synced, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.kube.rest import ApiError
from colocation.manager import views
from colocation.manager.loop import TAKE_SECONDS, Ask, Stop, ask
from colocation.manager.node import colocation_facts
from colocation.manager.patches import Urgency, wanted_spec
from colocation.model.facts import Published, Qos
from colocation.model.policy import Protect
from colocation.model.report import BePod, NodeColocationSpec, OnlinePod
from colocation.model.wire import Metadata, NodeColocation

from .bench import FULL, GI, Bench, amounts, body_of


def test_nothing_is_decided_before_everything_is_known(bench: Bench) -> None:
    bench.policy()
    bench.node()
    bench.report()
    bench.say(*(Synced(r) for r in (NODES, POLICIES, NODE_COLOCATIONS)))
    assert bench.step() is None
    assert bench.writer.jobs == []
    bench.say(Synced(PODS))
    [job] = bench.take()
    assert amounts(job) == FULL


def test_a_patch_carries_the_version_it_was_decided_on(bench: Bench) -> None:
    bench.sync()
    bench.policy()
    bench.node()
    version = str(bench.version)
    bench.report()
    [job] = bench.take()
    assert body_of(job)["metadata"] == {"resourceVersion": version}
    assert (job.path, job.urgency) == ("/api/v1/nodes/n/status", Urgency.GROW)


def test_what_has_been_written_is_not_written_again(bench: Bench) -> None:
    bench.publish()
    for _ in range(3):
        bench.report(at="again")
        bench.node(published=Published(5000, 60 * GI, 250))
        assert bench.take() == []
        assert bench.take("spec") == []


def test_a_lower_max_pods_closes_nodes_that_hold_more_and_takes_away_before_others_are_given_to(bench: Bench) -> None:
    bench.publish()
    for number in range(5):
        bench.pod(f"b{number}", be=100)
    assert bench.take() == []
    for generation, most, gate in ((2, 3, None), (3, 5, "5"), (4, 0, None), (5, 250, "250")):
        bench.policy(generation=generation, max_pods=most)
        [job] = bench.take()
        assert amounts(job)[2] == gate
        assert job.urgency is (Urgency.SHRINK if gate is None else Urgency.GROW)
        result = views.explain(bench.loop, "n", bench.now)
        assert result is not None
        assert any("maxPods: at least 5" in words for words in result.would_change) == (gate is None)
        bench.answer(job)
    bench.policy(generation=6, max_pods=9)
    [job] = bench.take()
    assert (amounts(job)[2], job.urgency) == ("9", Urgency.SHRINK)


def test_a_conflict_is_decided_again_on_the_new_version(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [job] = bench.take()
    bench.answer(job, ApiError(409, "Conflict", ""))
    bench.node(published=Published(5000, 60 * GI, 250))
    version = str(bench.version)
    assert bench.take() == []  # not at once: the watch may be behind
    bench.now += 0.2
    [job] = bench.take()
    assert body_of(job)["metadata"]["resourceVersion"] == version
    assert amounts(job)[0] == "4000"


def test_while_a_patch_is_out_no_second_one_goes(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [first] = bench.take()
    bench.report(cpu=3000)
    assert bench.take() == []
    bench.answer(first)
    [second] = bench.take()
    assert amounts(second)[0] == "3000"


def test_a_node_that_is_gone_is_forgotten(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [job] = bench.take()
    bench.answer(job, ApiError(404, "NotFound", ""))
    bench.say(Delete(NODES, "n"), Delete(NODE_COLOCATIONS, "n"))
    assert bench.take() == []
    assert bench.loop.state.nodes == {}


def test_silence_withdraws_by_timer(bench: Bench) -> None:
    bench.publish()
    began = bench.now
    while not (jobs := bench.take()):
        until = bench.step()
        assert until is not None
        bench.now = until
    assert bench.now == pytest.approx(began + 180)
    [job] = jobs
    assert amounts(job) == (None, None, None)
    assert "silent" in body_of(job)["metadata"]["annotations"]["colocation.openfuyao.com/withdrawn"]
    assert job.urgency is Urgency.SHRINK


def test_a_change_of_the_spec_is_no_report(bench: Bench) -> None:
    bench.publish()
    node = bench.loop.state.nodes["n"]
    before = node.report
    bench.now += 100
    assert node.colocation is not None
    bench.version += 1
    facts = msgspec.structs.replace(node.colocation, resource_version=str(bench.version), status=before.status)
    bench.say(Upsert(NODE_COLOCATIONS, "n", facts, False))
    assert node.report is before
    bench.report(at="later")
    assert node.report.arrived == bench.now


def test_be_pods_reach_the_spec_and_leave_it(bench: Bench) -> None:
    bench.publish()
    bench.pod("b", be=1000)
    bench.pod("web", qos=Qos.LS)
    [job] = bench.take("spec")
    assert [p["uid"] for p in body_of(job)["spec"]["pods"]] == ["uid-b"]
    bench.answer(job)
    bench.say(Delete(PODS, "b"))
    [job] = bench.take("spec")
    assert body_of(job)["spec"]["pods"] == []


def test_a_be_pod_that_ended_does_not_turn_into_online_use(bench: Bench) -> None:
    bench.publish()
    bench.pod("b", be=1000)
    bench.take("spec")
    bench.say(Delete(PODS, "b"))
    assert bench.loop.state.nodes["n"].gone_be == {"uid-b"}
    bench.report(at="later")  # it no longer shows it
    assert bench.loop.state.nodes["n"].gone_be == set()


def test_be_pods_of_the_last_manager_are_remembered_by_the_spec(bench: Bench) -> None:
    bench.report(listed=True, spec=NodeColocationSpec(pods=(BePod(uid="old"),)))
    assert bench.loop.state.nodes["n"].gone_be == {"old"}


def test_a_pod_that_came_back_under_its_name_elsewhere_counts_once(bench: Bench) -> None:
    bench.publish()
    bench.node("m")
    bench.pod("b", be=1000, node="n", uid="one")
    bench.pod("b", be=1000, node="m", uid="two")
    assert bench.loop.state.nodes["n"].pods == {}
    assert [p.uid for p in bench.loop.state.nodes["m"].pods.values()] == ["two"]


def test_an_unlabelled_node_is_left_alone(bench: Bench) -> None:
    bench.sync()
    bench.policy()
    bench.node(label=False)
    bench.report()
    assert bench.take() == []
    assert [job.method for job in bench.take("spec")] == []


def test_garbage_costs_that_node_alone(bench: Bench) -> None:
    bench.publish()
    wire = NodeColocation(Metadata(name="n", uid="u", resource_version="999"), status=Raw(b'{"pods": [{"uid": 7}]}'))
    facts = colocation_facts(wire)
    assert facts.status is None
    assert str(facts.problem) == "pods: Expected `str`, got `int` - at `$[0].uid`"
    bench.say(Upsert(NODE_COLOCATIONS, "n", facts, False))
    [job] = bench.take()
    assert amounts(job) == (None, None, None)


@pytest.mark.parametrize(
    "status", [7, [], "x", {"system": []}, {"node": {"cpu": -1}}, {"pods": {}}, {"pods": [{}]}, {"observedAt": 3}]
)
def test_no_status_is_an_error(status: object) -> None:
    facts = colocation_facts(NodeColocation(Metadata(name="n"), status=Raw(msgspec.json.encode(status))))
    assert facts.problem
    assert facts.status is None


def test_a_colocation_that_cannot_be_read_is_withdrawn_and_its_spec_written_anew(bench: Bench) -> None:
    bench.publish()
    bench.say(Bad(NODE_COLOCATIONS, "n", "nonsense"))
    bench.step()
    by_kind = {job.key[0]: job for job in bench.writer.jobs}
    assert amounts(by_kind["node"]) == (None, None, None)
    assert body_of(by_kind["spec"])["spec"]["enabled"]


def test_an_older_watch_event_does_not_undo_what_a_patch_told(bench: Bench) -> None:
    bench.publish()
    facts = bench.loop.state.nodes["n"].facts
    assert facts is not None
    old = msgspec.structs.replace(facts, resource_version="1", published=Published())
    bench.say(Upsert(NODES, "n", old, False))
    assert bench.take() == []
    bench.say(Upsert(NODES, "n", old, True))  # a list is believed: etcd may have been restored
    assert len(bench.take()) == 1


def test_a_fault_of_ours_withdraws_the_node(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.publish()

    def nonsense(*_: object) -> None:
        raise RuntimeError("nonsense")

    monkeypatch.setattr("colocation.manager.node.add_up", nonsense)
    bench.report(cpu=2000)
    [job] = bench.take()
    assert amounts(job) == (None, None, None)
    assert "nonsense" in body_of(job)["metadata"]["annotations"]["colocation.openfuyao.com/withdrawn"]


def test_order_of_events_changes_nothing() -> None:
    outcomes = set()
    for order in itertools.permutations(("policy", "node", "report", "pod")):
        bench = Bench()
        for what in order:
            bench.pod("b", be=7000) if what == "pod" else getattr(bench, what)()
        bench.sync()
        [job] = bench.take()
        outcomes.add(amounts(job))
    assert outcomes == {("7000", str(60 * GI), None)}


def test_a_stop_is_not_lost_behind_a_thousand_messages(bench: Bench) -> None:
    for _ in range(1000):
        bench.loop.inbox.put(Synced(NODES))
    bench.loop.inbox.put(Stop())
    rounds = sum(1 for _ in iter(bench.loop.round, False))
    assert rounds < 100


def test_slow_messages_do_not_keep_the_loop_from_deciding(bench: Bench) -> None:
    """However many wait, taking them ends after `TAKE_SECONDS`, and with the one that is being handled."""
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    for _ in range(100):
        bench.loop.inbox.put(Ask(lambda *_: time.sleep(TAKE_SECONDS / 4), answers))
    began = time.monotonic()
    assert bench.loop.round()
    assert time.monotonic() - began < 4 * TAKE_SECONDS
    assert 1 <= answers.qsize() <= 5


def test_a_question_that_nobody_waits_for_any_more_is_not_carried_out(bench: Bench) -> None:
    carried_out: list[float] = []
    with pytest.raises(TimeoutError):
        ask(bench.loop, lambda _, now: carried_out.append(now), 0.01)
    assert bench.loop.inbox.qsize() == 1
    assert bench.loop.round()
    assert carried_out == []


def test_a_loop_that_keeps_failing_has_no_heartbeat(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: float) -> None:
        raise RuntimeError("broken")

    bench.now += 50
    bench.loop.inbox.put(Synced(NODES))
    monkeypatch.setattr(bench.loop, "step", fail)
    assert bench.loop.round()
    assert bench.now - bench.loop.beat == 50


def test_online_pods_are_told_only_to_agents_that_do_something_for_them() -> None:
    bench = Bench()
    bench.sync()
    bench.node()
    bench.policy()
    bench.pod("shop", qos=Qos.LS)
    bench.pod("batch", be=500)
    bench.step()
    node = bench.loop.state.nodes["n"]
    assert node.facts is not None
    spec = wanted_spec(node, node.facts)
    assert spec is not None
    assert (spec.online, [pod.uid for pod in spec.pods]) == ((), ["uid-batch"])
    for protect in (Protect(burst_percent=10), Protect(memory_low_percent=50)):
        bench.policy(generation=2, protect=protect)
        bench.step()
        spec = wanted_spec(node, node.facts)
        assert spec is not None
        assert spec.protect == protect
        assert spec.online == (OnlinePod(uid="uid-shop"),)
