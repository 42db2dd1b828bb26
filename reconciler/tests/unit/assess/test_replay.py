"""The replay says what the manager would have done, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from colocation.assess.figures import GAP
from colocation.assess.recommend import plan_for
from colocation.assess.replay import WARM_UP, _judge, coming_peaks, replay
from colocation.assess.shape import STEP, STEPS_AN_HOUR, NodeTrace
from colocation.budget import Candidate, Selection, add_up
from colocation.model import names
from colocation.model.policy import PolicySpec
from colocation.model.quantity import millicores, parse
from colocation.model.report import NodeColocationStatus, PodUsage, Usage
from colocation.replay.policies import replay as by_manager
from tests.assess.synthetic import synthesize, traces

HOURS = 11


def node(pods: int = 4, seed: int = 1, hours: int = HOURS) -> NodeTrace:
    cluster = synthesize(1_700_000_000 // 3600 * 3600, hours, nodes=1, pods=pods, seed=seed)
    return traces(cluster, cluster.start, cluster.steps)[0]


def manager_mean(trace: NodeTrace, strategy: Any, spec: PolicySpec, column: int) -> float:
    """What the manager publishes on average, from reports of the hour's pods, by its own evaluation of the node."""
    facts = structs.replace(trace.facts(), labels={names.NODE_LABEL: "true"})
    online = [pod.facts(trace.name) for pod in trace.pods]
    oversell = structs.replace(
        spec.oversell,
        cpu=structs.replace(spec.oversell.cpu, strategy=strategy),
        memory=structs.replace(spec.oversell.memory, strategy=strategy),
    )
    policy = structs.replace(spec, oversell=oversell)

    def reports() -> Any:
        for at in range(len(trace.cpu)):
            hour = at // STEPS_AN_HOUR
            rows = tuple(
                PodUsage(uid=f.uid, cpu=pod.cpu[hour], memory=pod.memory[hour])
                for f, pod in zip(online, trace.pods, strict=True)
            )
            system = Usage(
                cpu=(trace.cpu[at] or 0) - (trace.pods_cpu[at] or 0),
                memory=(trace.memory[at] or 0) - (trace.pods_memory[at] or 0),
            )
            status = NodeColocationStatus(observed_at=str(at), system=system, pods=rows)
            yield status, add_up(online, status, (strategy, strategy))

    steps = list(by_manager(facts, Selection(Candidate("p", 0, policy), (), "test"), reports(), STEP))[WARM_UP:]
    return sum((step.cpu, step.memory)[column] for step in steps) / len(steps)


@pytest.mark.parametrize("strategy", ["request"])
@pytest.mark.parametrize("column", [0, 1])
def test_the_grid_is_what_the_managers_own_evaluation_publishes(strategy: str, column: int) -> None:
    trace, plan = node(pods=2), plan_for(0.01, grid=True)
    result = replay(trace, len(trace.cpu), plan)
    part, percents = ((result.cpu, plan.cpu_percents), (result.memory, plan.memory_percents))[column]
    kind = "cpu" if column == 0 else "memory"
    seen = set()
    for percent in percents:
        spec = structs.replace(
            plan.spec,
            oversell=structs.replace(
                plan.spec.oversell,
                **{kind: structs.replace(getattr(plan.spec.oversell, kind), reclaim_percent=percent)},
            ),
        )
        offer = part.grid[strategy, percent]
        assert offer.total / offer.steps == manager_mean(trace, strategy, spec, column)
        seen.add(offer.total)
    assert len(seen) > 1  # not all clamped to the same


@given(seed=st.integers(0, 30), pods=st.integers(1, 6))
@settings(max_examples=5, deadline=None)
def test_what_is_published_fits_the_policy(seed: int, pods: int) -> None:
    trace, plan = node(pods, seed, hours=9), plan_for(0.01, grid=True)
    result = replay(trace, len(trace.cpu), plan)
    for part, oversell, size in (
        (result.cpu, plan.spec.oversell.cpu, millicores(plan.spec.oversell.cpu.quantum)),
        (result.memory, plan.spec.oversell.memory, parse(plan.spec.oversell.memory.quantum)),
    ):
        for series in part.published:
            counted = [value for value in series if value != GAP]
            assert len(counted) == len(trace.cpu) - WARM_UP
            assert all(value % size == 0 and 0 <= value <= part.capacity for value in counted)
        for strategy in ("request", "usage", "predicted", "maxUsageRequest"):
            sweep = [part.grid[strategy, percent].total for key, percent in part.grid if key == strategy]
            assert all(a <= b for a, b in pairwise(sweep)), "a larger percent never publishes less"
        assert oversell.strategy == "predicted"


def test_a_gap_counts_for_nothing_and_what_was_learnt_stays() -> None:
    whole, plan = node(hours=HOURS), plan_for(0.01, grid=False)
    holed = node(hours=HOURS)
    for at in range(100, 112):
        holed.cpu[at] = None
    full, gap = (replay(trace, len(trace.cpu), plan) for trace in (whole, holed))
    assert full.covered - gap.covered == 12
    assert gap.cpu.used[100:112].tolist() == [GAP] * 12
    assert gap.cpu.rungs[2].judged.steps == full.cpu.rungs[2].judged.steps - 12 - 12  # nor the hour before it
    after = [part.cpu.published[2][-1] for part in (full, gap)]
    assert abs(after[0] - after[1]) <= 1000, "the forecast did not begin anew"


def test_a_violation_is_a_peak_of_the_coming_hour_above_the_forecast() -> None:
    steps = WARM_UP + 2 * STEPS_AN_HOUR
    online: list[int | None] = [100] * steps
    online[WARM_UP + 6] = 300
    judged = _judge([200] * steps, coming_peaks(online))
    assert judged.steps == STEPS_AN_HOUR
    assert judged.violations == 6
    assert judged.severity == pytest.approx(1 / 3)


def test_best_effort_pods_are_not_online_use() -> None:
    trace = node(hours=8)
    alone = replay(trace, len(trace.cpu), plan_for(0.01, grid=True))
    other = node(hours=8)
    other.pods[0].qos = type(other.pods[0].qos).BE
    freed = replay(other, len(other.cpu), plan_for(0.01, grid=True))
    assert freed.cpu.grid["usage", 65].total > alone.cpu.grid["usage", 65].total
    assert freed.cpu.grid["request", 65].total >= alone.cpu.grid["request", 65].total
