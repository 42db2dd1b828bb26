"""A fault that nobody foresaw, in one node or one policy: it costs that one alone, and nothing is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from colocation.manager.loop import AGAIN_SECONDS
from colocation.manager.policies import LOOK_SECONDS

from .bench import Bench

NODES = [f"n{number}" for number in range(10)]


@pytest.fixture
def bench() -> Bench:
    made = Bench(parallel=99)
    made.sync()
    made.policy()
    for name in NODES:
        made.node(name)
    for job in made.take("spec"):
        made.answer(job)
    return made


class Faulty:
    """NOT the method: fails for some, and passes the rest on."""

    def __init__(self, real: Any, faulty: set[str], name_of: Any) -> None:
        self._real, self.faulty, self._name_of = real, faulty, name_of

    def __call__(self, *args: Any, **more: Any) -> Any:
        if self._name_of(*args) in self.faulty:
            raise RuntimeError("injected")
        return self._real(*args, **more)


def test_the_other_nodes_of_the_round_are_decided_and_the_faulty_one_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = bench.loop._metrics
    faulty = Faulty(metrics.node, {"n3", "n7"}, lambda node, _now: node.name)
    monkeypatch.setattr(metrics, "node", faulty)  # outside the evaluation's own try
    for name in NODES:
        bench.report(name)
    jobs = bench.take()
    assert {job.key[1] for job in jobs} == set(NODES) - faulty.faulty
    for job in jobs:
        bench.answer(job)
    bench.take()
    faulty.faulty.clear()
    bench.now += AGAIN_SECONDS
    assert {job.key[1] for job in bench.take()} == {"n3", "n7"}


def test_a_timer_that_fires_during_a_fault_is_not_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NODES:
        bench.report(name)
    for job in bench.take():
        bench.answer(job)
    bench.take()
    faulty = Faulty(bench.loop._metrics.node, {"n0"}, lambda node, _now: node.name)
    monkeypatch.setattr(bench.loop._metrics, "node", faulty)
    bench.now += 180  # all ten fall silent
    assert {job.key[1] for job in bench.take()} == set(NODES) - {"n0"}
    faulty.faulty.clear()
    bench.now += AGAIN_SECONDS
    assert "n0" in {job.key[1] for job in bench.take()}


def test_a_node_that_fails_again_and_again_is_not_decided_in_every_round(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    monkeypatch.setattr(bench.loop, "_evaluate", lambda name, _now: tries.append(name) or 1 / 0)
    bench.report("n0")
    for _ in range(100):
        bench.step(after=0.1)
    assert tries.count("n0") <= 3


def test_a_policy_that_cannot_be_taken_in_costs_no_other_its_edit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = bench.loop._policies
    faulty = Faulty(policies._edited, {"bad"}, lambda name, _now: name)
    monkeypatch.setattr(policies, "_edited", faulty)
    for name in ("bad", "good"):
        bench.policy(name, priority=5)
    bench.step()
    assert "good" in policies._rows
    assert "bad" not in policies._rows
    assert not bench.loop.state.edited  # else the rate limit would stay lifted
    faulty.faulty.clear()
    for _ in range(3):
        bench.step(after=LOOK_SECONDS)
    assert "bad" in policies._rows


def test_a_policy_whose_status_cannot_be_made_costs_no_other_its_status(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = bench.loop._policies
    monkeypatch.setattr(policies, "_job", Faulty(policies._job, {"p"}, lambda facts, _count: facts.candidate.name))
    bench.policy("other", priority=-1)
    bench.step()
    bench.now += LOOK_SECONDS
    bench.step()
    assert "other" in {job.key[1] for job in bench.writer.jobs if job.key[0] == "policy"}
