"""The fleet's scores in the manager: whose count, when they are another table, and how they reach the nodes.

The loop is real; its writer keeps the jobs (`bench.FakeWriter`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from colocation.budget import Peaks, Suspicion
from colocation.kube.cache import Upsert
from colocation.kube.resources import PODS
from colocation.manager.fleet import DAY_SECONDS, LOOK_SECONDS, together
from colocation.manager.patches import SPEC, Urgency
from colocation.model.facts import PodFacts, Qos
from colocation.model.report import NodeColocationSpec, PodUsage, Prediction, Scores

from .bench import GI, Bench, body_of

CALM = Scores(cpu=(0, 0, 0, 0, 200, 200, 100), memory=(300, 100))
WILD = Scores(cpu=(0,) * 20 + (500,), memory=(300, 100))
NAMES = ("a", "b", "c", "d")


Given = list[tuple[str, int, Scores | None]]
"""Node, urgency and the fleet's scores of each spec that is written."""


def report(bench: Bench, name: str, **more: Any) -> None:
    """One whose clock is right, so that it is not suspect."""
    bench.report(name, clock=datetime.now(UTC).isoformat(), **more)


def fleet(scores: Scores | None = CALM) -> Bench:
    bench = Bench()
    bench.sync()
    bench.policy()
    for name in NAMES:
        bench.node(name)
        report(bench, name, scores=scores)
    assert {given for _, _, given in written(bench)} <= {None}
    return bench


def written(bench: Bench) -> Given:
    """Carry out what is to be written."""
    found = []
    for job in bench.take(SPEC):
        spec = msgspec.convert(body_of(job)["spec"], NodeColocationSpec)
        found.append((job.key[1], int(job.urgency), spec.fleet_scores))
        bench.answer(job)
    return found


def rounds(bench: Bench, seconds: float) -> Given:
    found: Given = []
    end = bench.now + seconds
    while bench.now < end:
        bench.now += 1
        found += written(bench)
    return found


def until_next_look(bench: Bench) -> Given:
    return rounds(bench, LOOK_SECONDS + len(NAMES) + 2)


def test_nodes_get_the_table_once_at_the_lowest_urgency_about_one_a_second() -> None:
    bench = fleet()
    assert rounds(bench, LOOK_SECONDS - 5) == []
    at = []
    for _ in range(20):
        found = rounds(bench, 1)
        assert len(found) <= 1
        at += found
    assert sorted(name for name, _, _ in at) == list(NAMES)
    assert {urgency for _, urgency, _ in at} == {Urgency.LATER}
    (table,) = {scores for _, _, scores in at}
    assert table is not None
    assert sum(table.cpu) == pytest.approx(4 * 500, abs=3)
    assert rounds(bench, 20) == []


def test_a_day_or_a_step_of_the_margin_make_another_table_and_nothing_else_does() -> None:
    bench = fleet()
    assert len(until_next_look(bench)) == len(NAMES)
    more = msgspec.structs.replace(CALM, memory=(310, 101))
    for name in NAMES:
        report(bench, name, scores=more)
    assert until_next_look(bench) == []
    for name in NAMES[:3]:
        report(bench, name, scores=WILD)
    report(bench, "d", scores=CALM)
    assert len(until_next_look(bench)) == len(NAMES)
    for name in NAMES:
        report(bench, name, scores=msgspec.structs.replace(WILD, memory=(310, 101)))
    assert until_next_look(bench) == []
    bench.now += DAY_SECONDS
    for name in NAMES:
        report(bench, name, scores=msgspec.structs.replace(WILD, memory=(320, 101)))
    assert len(until_next_look(bench)) == len(NAMES)


def test_a_node_that_comes_later_gets_the_table_alone() -> None:
    bench = fleet()
    until_next_look(bench)
    bench.node("late")
    report(bench, "late")
    written(bench)
    assert [name for name, _, _ in until_next_look(bench)] == ["late"]


def test_a_new_manager_goes_on_with_what_the_nodes_carry() -> None:
    before = fleet()
    until_next_look(before)
    after = Bench()
    after.sync()
    after.policy()
    for name in NAMES:
        known = before.loop.state.nodes[name].colocation
        assert known is not None
        after.node(name)
        report(after, name, scores=CALM, spec=known.spec, listed=True)
        report(after, name, scores=CALM, spec=known.spec)
    assert all(scores is not None for _, _, scores in written(after))
    assert until_next_look(after) == []


def test_another_change_of_the_spec_is_not_held_up_and_keeps_the_table() -> None:
    bench = fleet()
    until_next_look(bench)
    bench.pod("batch", be=100, node="a")
    ((name, urgency, scores),) = written(bench)
    assert (name, urgency) == ("a", Urgency.SPEC)
    assert scores is not None


def test_suspect_old_and_missing_reports_do_not_count() -> None:
    bench = fleet()
    nodes = bench.loop.state.nodes
    assert together(list(nodes.values()), bench.now) is not None
    assert together(list(nodes.values()), bench.now + 3601) is None
    for name in ("a", "b"):
        nodes[name].report = msgspec.structs.replace(nodes[name].report, suspicions={Suspicion.CLOCK: "wrong"})
    assert together(list(nodes.values()), bench.now) is None, "two of four are too few"


def test_without_scores_nothing_is_written() -> None:
    bench = fleet(scores=None)
    assert until_next_look(bench) == []


def test_only_reports_that_are_not_suspect_say_what_a_workload_needs() -> None:
    bench = fleet()
    pod = PodFacts("u", "u", "d/web-1", "a", Qos.LS, True, 1000, GI, workload="d/web")
    bench.say(Upsert(PODS, "d/web-1", pod, False))
    row = PodUsage(uid="u", cpu=100, memory=GI, predicted=Prediction(300, GI, 7 * 3600))
    report(bench, "a", rows=(row,), cpu=10**9)
    assert bench.loop.state.nodes["a"].report.suspicions
    assert bench.loop.state.workloads.get("d/web") is None
    report(bench, "a", rows=(row,))
    report(bench, "a", rows=(row,))
    found = bench.loop.state.workloads.get("d/web")
    assert found == Peaks(300, GI)
