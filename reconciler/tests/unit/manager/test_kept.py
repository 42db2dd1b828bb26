"""What is kept between two decisions of a node is what would be computed anew."""

from __future__ import annotations

import random

import msgspec
import pytest

from colocation.kube.cache import Bad, Delete, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS
from colocation.manager.patches import SPEC, spec_job
from colocation.model.facts import Qos
from colocation.model.policy import OversellCpu, Protect
from colocation.model.report import NodeColocationSpec, PodUsage

from .bench import GI, Bench


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.publish()
    return made


def computed(bench: Bench) -> object:
    bench.loop.state.dirty.add("n")
    bench.step()
    made = bench.loop.state.nodes["n"].evaluation
    assert made is not None
    return made.computed


def test_a_node_that_is_decided_again_keeps_its_terms(bench: Bench) -> None:
    before = computed(bench)
    bench.now += 10
    assert computed(bench) is before


@pytest.mark.parametrize("change", ["report", "policy", "pod", "capacity"])
def test_whatever_the_terms_are_made_of_makes_them_anew(bench: Bench, change: str) -> None:
    before = computed(bench)
    node = bench.loop.state.nodes["n"]
    match change:
        case "report":
            bench.report(cpu=2000)
        case "policy":
            bench.policy(cpu=OversellCpu(strategy="usage", reclaim_percent=50))
        case "pod":
            bench.pod("web", qos=Qos.LS)
        case _:
            assert node.facts is not None
            larger = msgspec.structs.replace(node.facts, cpu_capacity=20000, resource_version="999")
            bench.say(Upsert(NODES, "n", larger, False))
    after = computed(bench)
    assert after is not before
    node.evaluation = None
    assert after == computed(bench)
    assert after != before


def test_a_heartbeat_keeps_one_copy_of_the_labels(bench: Bench) -> None:
    facts = bench.loop.state.nodes["n"].facts
    assert facts is not None
    beat = msgspec.structs.replace(facts, resource_version="999", labels=dict(facts.labels))
    bench.say(Upsert(NODES, "n", beat, False))
    kept = bench.loop.state.nodes["n"].facts
    assert kept is beat
    assert kept.labels is facts.labels
    assert kept.memory_capacity == 100 * GI


def anything(bench: Bench, dice: random.Random) -> None:
    """One of all that can happen to a node, its pods, its report and its policy."""
    name = f"p{dice.randrange(4)}"
    match dice.randrange(9):
        case 0:
            bench.pod(name, be=dice.choice([0, 0, 900]), qos=dice.choice(list(Qos)), uid=dice.choice([name, name, "x"]))
        case 1:
            bench.say(Delete(PODS, name))
        case 2:
            rows = tuple(PodUsage(uid=f"p{i}", cpu=dice.randrange(999), memory=GI, cpu_peak=1500) for i in range(3))
            bench.report(at=str(dice.random()), rows=rows)
        case 3:
            bench.policy(cpu=OversellCpu(strategy=dice.choice(["usage", "predicted"])))
        case 4:
            bench.node(label=dice.random() < 0.8, cpu=dice.choice([10_000, 12_000]))
        case 5:
            bench.say(dice.choice([Bad(NODE_COLOCATIONS, "n", "x"), Delete(NODE_COLOCATIONS, "n")]))
        case 6:
            bench.policy(protect=Protect(memory_low_percent=dice.choice([0, 50])))
        case 7:
            bench.report(spec=NodeColocationSpec(), at="by hand")
        case 8:
            bench.report(owner=dice.choice(["uid-n", "another"]))


def test_sums_that_are_kept_are_those_of_the_pods_reports_and_policies_as_they_are() -> None:
    """Whatever happens in whatever order, a loop that kept its sums decides as one that sees only the end."""
    for seed in range(200):
        dice = random.Random(seed)
        bench = Bench()
        bench.sync()
        bench.policy()
        bench.node()
        for _ in range(12):
            anything(bench, dice)
            bench.step()
        node = bench.loop.state.nodes["n"]
        selection = bench.loop.state.select(node)
        kept = node.summed(selection, bench.loop.state.workloads), node.be_pods_for_agent(), selection
        node.sums = node.be_rows = node.online_rows = None
        node.selected = False
        selection = bench.loop.state.select(node)
        assert kept == (node.summed(selection, bench.loop.state.workloads), node.be_pods_for_agent(), selection), seed


def test_an_agent_that_agrees_is_told_again_whatever_changes() -> None:
    """A loop that remembers whom there is nothing to tell tells what one without memory would."""
    agreed = 0
    for seed in range(100):
        dice = random.Random(seed)
        bench = Bench()
        bench.publish()
        node = bench.loop.state.nodes["n"]
        for _ in range(12):
            anything(bench, dice)
            bench.step()
            assert node.facts is not None
            if not bench.loop._outbox.busy((SPEC, "n")):
                agreed += node.agrees
                remembered, node.agreed = spec_job(node, node.facts), None
                assert remembered == spec_job(node, node.facts), seed
            bench.written()
    assert agreed > 300
