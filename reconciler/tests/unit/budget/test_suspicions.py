"""Reports that lie: what they can do to the number, and what is told of them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import (
    Candidate,
    ReportView,
    Suspicion,
    Windows,
    add_up,
    evaluate,
    select_policy,
    strategies,
    suspicions,
    unknown_pods,
)
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec
from colocation.model.report import MAX_PODS, NodeColocationStatus, PodUsage, Prediction, Usage

GI = 2**30
WALL = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
NOW = "2026-11-21T00:00:00Z"
NODE = NodeFacts(
    name="n",
    uid="u",
    resource_version="1",
    labels={"node.openfuyao.com/colocation": "true"},
    cpu_capacity=10_000,
    cpu_allocatable=10_000,
    memory_capacity=100 * GI,
    memory_allocatable=100 * GI,
)


def status(**what: object) -> NodeColocationStatus:
    return NodeColocationStatus(**{"observed_at": NOW, **what})  # type: ignore[arg-type]


HONEST = status(
    node=Usage(cpu=9_000, cpu_peak=10_400, memory=90 * GI, memory_peak=95 * GI),
    system=Usage(cpu=500, cpu_peak=900, memory=GI, memory_peak=GI),
    pods=(PodUsage(uid="a", cpu=9_000, cpu_peak=10_000, memory=80 * GI), PodUsage(uid="b", cpu=9_000)),
)


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        (HONEST, None),
        (status(node=Usage(cpu=10**18)), Suspicion.IMPOSSIBLE_USE),
        (status(node=Usage(memory=2**62)), Suspicion.IMPOSSIBLE_USE),
        (status(system=Usage(cpu=12_501)), Suspicion.IMPOSSIBLE_USE),
        (status(pods=tuple(PodUsage(uid=str(i), cpu=5_000) for i in range(5))), Suspicion.IMPOSSIBLE_USE),
        (status(pods=tuple(PodUsage(uid=str(i), memory=90 * GI) for i in range(3))), Suspicion.IMPOSSIBLE_USE),
        (status(pods=(PodUsage(uid="a"), PodUsage(uid="a"))), Suspicion.INCONSISTENT),
        (status(pods=(PodUsage(uid="a", cpu=5, cpu_peak=4),)), Suspicion.INCONSISTENT),
        (status(node=Usage(memory=5, memory_peak=4)), Suspicion.INCONSISTENT),
        (status(observed_at="2026-11-21T00:06:00Z"), Suspicion.CLOCK),
        (status(observed_at="2026-11-20T20:00:00-03:00"), Suspicion.CLOCK),
        (status(observed_at="2026-11-20T21:00:00-03:00"), None),
        (status(observed_at="9999-12-31T23:59:59-23:59"), Suspicion.CLOCK),
        (status(observed_at="0001-01-01T00:00:00+23:59"), Suspicion.CLOCK),
        (status(observed_at="yesterday"), Suspicion.CLOCK),
    ],
)
def test_what_cannot_be_true_is_told(report: NodeColocationStatus, kind: Suspicion | None) -> None:
    assert list(suspicions(NODE, report, (), WALL)) == ([] if kind is None else [kind])


def test_a_pod_that_has_just_come_or_gone_is_not_unknown() -> None:
    first, second = (status(pods=tuple(PodUsage(uid=uid) for uid in uids)) for uids in ("abc", "bcd"))
    assert unknown_pods(first, None, ()) == set()
    assert unknown_pods(second, first, {"b"}) == {"c"}
    assert list(suspicions(NODE, second, {"c"}, WALL)) == [Suspicion.UNKNOWN_PODS]


def test_a_hundred_thousand_pods_are_no_report() -> None:
    with pytest.raises(msgspec.ValidationError, match=f"length <= {MAX_PODS}"):
        msgspec.convert({"pods": [{"uid": str(i)} for i in range(100_000)]}, NodeColocationStatus)


amounts = st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 10_000, 100 * GI, 2**63 - 1])
maybe = st.none() | amounts
usages = st.none() | st.builds(Usage, cpu=maybe, cpu_peak=maybe, memory=maybe, memory_peak=maybe)
rows = st.builds(
    PodUsage,
    uid=st.sampled_from("abcdef"),
    cpu=maybe,
    cpu_peak=maybe,
    memory=maybe,
    memory_peak=maybe,
    predicted=st.none() | st.builds(Prediction, cpu=amounts, memory=amounts, observed_seconds=amounts),
)
reports = st.builds(
    NodeColocationStatus,
    observed_at=st.text(max_size=30) | st.datetimes().map(lambda at: at.isoformat()),
    node=usages,
    system=usages,
    pods=st.lists(rows, max_size=8).map(tuple),
)
pods = st.builds(
    PodFacts,
    uid=st.just(""),
    cgroup_uid=st.sampled_from("abcd"),
    name=st.just("x/y"),
    node=st.just("n"),
    qos=st.sampled_from(Qos),
    running=st.booleans(),
    cpu=st.integers(0, 9_000),
    memory=st.integers(0, 90 * GI),
)


@given(
    st.lists(reports, min_size=1, max_size=5),
    st.lists(pods, max_size=4),
    st.integers(0, 100),
    st.sampled_from(["usage", "request", "maxUsageRequest", "predicted"]),
    st.integers(0, 20),
)
def test_whatever_an_agent_reports_its_node_offers_at_most_max_percent(
    answer: list[NodeColocationStatus], online: list[PodFacts], most: int, strategy: str, grow: int
) -> None:
    """Nothing is allocated here, so nothing but the result is published."""
    oversell = Oversell(
        cpu=OversellCpu(strategy=strategy, reclaim_percent=100, max_percent=most),  # type: ignore[arg-type]
        memory=OversellMemory(strategy=strategy, reclaim_percent=100, max_percent=most),  # type: ignore[arg-type]
        grow_after_seconds=grow,
    )
    selection = select_policy([Candidate("p", 1, PolicySpec(oversell=oversell))], NODE.labels)
    node, windows = NODE, Windows()
    for number, report in enumerate(answer):
        view = ReportView(report, None, float(number), since_start=True, suspicions=suspicions(node, report, (), WALL))
        sums = add_up(online, report, strategies(selection, report))
        made = evaluate(node, selection, view, sums, windows, float(number))
        assert (made.decision.cpu or 0) <= 10_000 * most // 100
        assert (made.decision.memory or 0) <= 100 * GI * most // 100
        node = msgspec.structs.replace(
            node, published=Published(made.decision.cpu, made.decision.memory, made.decision.gate)
        )
