"""What is kept between two decisions of a node is what would be computed anew."""

from __future__ import annotations

import msgspec
import pytest

from colocation.kube.cache import Upsert
from colocation.kube.resources import NODES
from colocation.model.facts import Qos
from colocation.model.policy import OversellCpu

from .test_loop import GI, Bench


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
