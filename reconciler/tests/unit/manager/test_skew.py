"""Objects that a newer manager, agent or CRD wrote, read by this one after a rollback: nothing is withdrawn for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from colocation.kube.cache import Upsert
from colocation.kube.resources import NODE_COLOCATIONS, POLICIES
from colocation.manager.node import colocation_facts, policy_facts
from colocation.manager.policies import LOOK_SECONDS
from colocation.model.facts import Published
from colocation.model.wire import Metadata, NodeColocation, StoredPolicy

from .bench import FULL, GI, Bench, amounts, body_of

NODES = [f"n{number}" for number in range(10)]
GENERATION = 7


def started(spec: dict[str, Any], status: dict[str, Any]) -> Bench:
    """A manager of this version starts, and finds ten published nodes and one policy, written by another version."""
    bench = Bench(parallel=99)
    stored(bench, spec, status)
    for name in NODES:
        bench.node(name, published=Published(5000, 60 * GI, 250))
    bench.sync()
    for job in bench.take("spec"):
        bench.answer(job)
    for name in NODES:
        bench.report(name)
    return bench


def stored(bench: Bench, spec: dict[str, Any], status: dict[str, Any]) -> None:
    wire = StoredPolicy(Metadata(name="p", generation=GENERATION, uid="uid-p"), spec, status)
    bench.say(Upsert(POLICIES, "p", policy_facts(wire), False))


def policy_status(bench: Bench) -> dict[str, Any]:
    """What the manager writes of the policy when it next looks."""
    bench.take()
    bench.now += LOOK_SECONDS
    bench.step()
    [job] = [job for job in bench.writer.jobs if job.key == ("policy", "p")]
    status: dict[str, Any] = body_of(job)["status"]
    return status


USAGE = {"cpu": {"strategy": "usage"}, "memory": {"strategy": "usage"}, "growAfterSeconds": 0}
STEPS = {"percent": 20}
NEWER: dict[str, Any] = {"oversell": {**USAGE, "cpu": {"strategy": "byOracle"}}, "rollout": STEPS}


@pytest.mark.parametrize("settled_generation", [GENERATION, GENERATION - 1])
def test_a_settled_version_with_an_unknown_word_in_it_withdraws_no_node(settled_generation: int) -> None:
    stable = {"generation": settled_generation, "spec": NEWER}
    status = {"observedGeneration": GENERATION, "stable": stable, "conditions": []}
    bench = started({"oversell": USAGE, "rollout": STEPS}, status)
    for _ in range(5):
        jobs = bench.take()
        assert [job for job in jobs if amounts(job)[0] is None] == []
        for job in jobs:
            bench.answer(job)
        bench.now += LOOK_SECONDS


def test_a_policy_with_an_unknown_word_in_it_is_followed_as_far_as_it_is_understood_and_says_so() -> None:
    spec = {"oversell": {**USAGE, "maxPods": 9}, "engine": "byOracle"}
    bench = started(spec, {"observedGeneration": GENERATION})
    assert {amounts(job) for job in bench.take()} == {(*FULL[:2], "9")}
    given = {c["type"]: c for c in policy_status(bench)["conditions"]}
    assert (given["Understood"]["status"], given["Understood"]["reason"]) == ("False", "UnknownValues")
    assert "engine" in given["Understood"]["message"]


def test_a_policy_that_is_understood_says_nothing_of_it() -> None:
    bench = started({"oversell": USAGE}, {"observedGeneration": GENERATION})
    assert {c["type"] for c in policy_status(bench)["conditions"]} == {"Ready", "RolledOut"}


def test_what_a_newer_version_stored_as_stable_is_written_back_as_it_was_found() -> None:
    """So that the newer version finds its own words again when it comes back."""
    stable = {"generation": GENERATION - 1, "spec": {**NEWER, "fromTheFuture": {"a": 1}}}
    changed = {"oversell": {**USAGE, "maxPods": 9}, "rollout": STEPS}
    bench = started(changed, {"observedGeneration": GENERATION, "stable": stable})
    assert policy_status(bench)["stable"] == stable


def test_a_stop_is_known_by_its_field_whatever_words_its_reason_has() -> None:
    why = "evictions rose, because of a batch job, because it was Monday"
    stable = {"generation": GENERATION - 1, "spec": {"oversell": USAGE, "rollout": STEPS}}
    status = {"observedGeneration": GENERATION, "stable": stable, "rolloutStopped": why}
    bench = started({"oversell": {**USAGE, "maxPods": 9}, "rollout": STEPS}, status)
    assert bench.take() == []  # no node gets what was stopped
    assert policy_status(bench)["rolloutStopped"] == why


def test_a_report_with_an_unknown_reason_for_an_eviction_counts() -> None:
    request = {"uid": "uid-b", "reason": "DiskOnFire", "message": "m"}
    wire = NodeColocation(
        Metadata(name="n0"), status=msgspec.Raw(msgspec.json.encode({"evictionRequests": [request], "newer": 1}))
    )
    facts = colocation_facts(wire)
    assert facts.problem is None
    assert facts.status is not None
    assert facts.status.eviction_requests[0].reason == "DiskOnFire"


def test_a_spec_that_cannot_be_read_costs_no_report_and_is_written_again() -> None:
    bench = started({"oversell": USAGE}, {})
    assert bench.take() == []
    status = bench.loop.state.nodes["n0"].report.status
    wire = NodeColocation(
        Metadata(name="n0", uid="u", resource_version="999"),
        spec=msgspec.Raw(b'{"engine": "byOracle"}'),
        status=msgspec.Raw(msgspec.json.encode(status)),
    )
    bench.say(Upsert(NODE_COLOCATIONS, "n0", colocation_facts(wire), False))
    assert [job.key for job in bench.take("spec")] == [("spec", "n0")]
    assert bench.loop.state.nodes["n0"].report.problem is None
    assert bench.take() == []
