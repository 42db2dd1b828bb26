"""A change goes to canary nodes first, and stops when they fare worse than the others: each rule on its own."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import (
    Candidate,
    Comparison,
    Health,
    RolloutCheck,
    Staged,
    Verdict,
    canary_nodes,
    failed_checks,
    is_staged,
)
from colocation.budget.rollout import same_effect
from colocation.model.policy import LabelSelector, Oversell, PolicySpec, Rollout

TEN = Rollout(percent=10)
NODES = [(f"n{i}", {"rack": str(i % 4)}) for i in range(40)]


@given(st.integers(1, 100), st.integers(1, 60))
def test_as_many_as_the_percentage_says_and_at_least_one(percent: int, count: int) -> None:
    first = canary_nodes("p", Rollout(percent=percent), NODES[:count])
    assert len(first) == max(1, -(-min(count, 40) * percent // 100))


@given(st.permutations(NODES))
def test_the_same_nodes_whatever_the_order(nodes: list[tuple[str, dict[str, str]]]) -> None:
    assert canary_nodes("p", TEN, nodes) == canary_nodes("p", TEN, NODES)


def test_two_policies_do_not_try_everything_on_the_same_nodes() -> None:
    assert canary_nodes("p", TEN, NODES) != canary_nodes("q", TEN, NODES)


def test_a_selector_narrows_them_down() -> None:
    rack = Rollout(node_selector=LabelSelector(match_labels={"rack": "1"}))
    assert canary_nodes("p", rack, NODES) == {f"n{i}" for i in range(40) if i % 4 == 1}
    both = msgspec.structs.replace(rack, percent=10)
    assert len(canary_nodes("p", both, NODES)) == 4
    assert canary_nodes("p", both, NODES) < canary_nodes("p", rack, NODES)


@given(st.integers(1, 39))
def test_who_has_the_change_keeps_it_when_nodes_are_added(count: int) -> None:
    before = canary_nodes("p", TEN, NODES[:count])
    assert before <= canary_nodes("p", TEN, NODES, before)


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        (PolicySpec(), False),
        (PolicySpec(rollout=TEN), True),
        (PolicySpec(rollout=Rollout(node_selector=LabelSelector(match_labels={"a": "b"}))), True),
        (PolicySpec(rollout=TEN, enabled=False), False),
    ],
    ids=["all at once unless asked", "a percentage", "a selector", "switching off is never in steps"],
)
def test_what_goes_in_steps(spec: PolicySpec, *, steps: bool) -> None:
    assert is_staged(spec) is steps


def test_how_changes_spread_is_no_change_by_itself() -> None:
    assert same_effect(PolicySpec(), PolicySpec(rollout=TEN))
    assert not same_effect(PolicySpec(), PolicySpec(oversell=Oversell(max_pods=7)))


def test_first_nodes_have_the_change_and_the_others_what_was() -> None:
    new, old = Candidate("p", 2, PolicySpec()), Candidate("p", 1, PolicySpec())
    assert Staged(new, old, frozenset("a")).at("a") is new
    assert Staged(new, old, frozenset("a")).at("b") is old
    assert Staged(new, None, frozenset("a")).at("b") is None  # a new policy selects only its canary nodes


def group(nodes: int = 10, cpu: float | None = 5, memory: float | None = 0, evictions: int = 0, **more: int) -> Health:
    reported, silent = more.get("reported", nodes), more.get("silent", 0)
    return Health(nodes=nodes, reported=reported, silent=silent, cpu=cpu, memory=memory, evictions=evictions)


CALM = Comparison(group(), group(90))


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (CALM, CALM, None),
        (CALM, Comparison(group(cpu=15), group(90)), None),
        (CALM, Comparison(group(cpu=15.1), group(90)), "cpu pressure of the canary nodes rose by 10.1 points"),
        (CALM, Comparison(group(memory=11), group(90)), "memory pressure of the canary nodes rose by 11.0 points"),
        (CALM, Comparison(group(cpu=40), group(90, cpu=40)), None),
        (Comparison(group(cpu=40), group(90)), Comparison(group(cpu=45), group(90)), None),
        (Comparison(), Comparison(group(cpu=20), group(90)), "rose by 15.0 points"),
        (Comparison(group(), group(0, cpu=None)), Comparison(group(cpu=20), group(0, cpu=None)), "rose by 15.0 points"),
        (CALM, Comparison(group(cpu=None, memory=None), group(90)), None),
        (CALM, Comparison(group(cpu=90, reported=0), group(90)), None),
        (CALM, Comparison(group(evictions=2), group(90)), None),
        (CALM, Comparison(group(evictions=3), group(90)), "3 evictions on the canary nodes, 0.0 at the others' rate"),
        (CALM, Comparison(group(evictions=5), group(90, evictions=27)), None),
        (CALM, Comparison(group(silent=1), group(90)), "1 of 10 canary nodes no longer report"),
        (Comparison(group(silent=1), group(90)), Comparison(group(silent=1), group(90)), None),
    ],
    ids=[
        "nothing has changed", "a rise that is allowed", "cpu pressure", "memory pressure", "all nodes are busier",
        "they were busier before", "nobody remembers how it was", "there are no others", "no PSI on these kernels",
        "a report from before the change", "evictions that are allowed", "evictions",
        "evictions everywhere", "an agent that has fallen silent", "an agent that was silent before",
    ],
)  # fmt: skip
def test_what_speaks_against_a_change(before: Comparison, now: Comparison, words: str | None) -> None:
    answer = failed_checks(TEN, before, now)
    assert (words is None and answer == ()) or (words is not None and words in answer[0])


ILL = Comparison(group(cpu=50), group(90))


def look(check: RolloutCheck, now: Comparison, at: float) -> Verdict:
    return check.look(Rollout(percent=10, pause_seconds=600), now, at, 120)


def test_pressure_that_lasts_stops_it_and_pressure_that_passes_does_not() -> None:
    check = RolloutCheck(CALM)
    assert [look(check, now, at) for now, at in ((ILL, 0), (ILL, 119), (CALM, 120), (ILL, 130), (ILL, 249))] == [
        Verdict.CONTINUE
    ] * 5
    assert look(check, ILL, 250) is Verdict.STOP
    assert "cpu pressure" in check.failures[0]


def test_well_for_the_whole_pause_without_a_break_is_well() -> None:
    check = RolloutCheck(CALM)
    for at, now in ((0, CALM), (500, CALM), (510, ILL), (520, CALM), (1119, CALM)):
        assert look(check, now, at) is Verdict.CONTINUE
    assert look(check, CALM, 1120) is Verdict.COMPLETE


def test_whoever_has_not_reported_since_the_change_is_waited_for() -> None:
    check = RolloutCheck(CALM)
    waiting = Comparison(group(reported=9), group(90))
    assert look(check, waiting, 0) is look(check, waiting, 5000) is Verdict.CONTINUE
    assert look(check, CALM, 5001) is Verdict.CONTINUE
    assert look(check, CALM, 5601) is Verdict.COMPLETE


def test_without_first_nodes_nothing_is_known_and_nothing_goes_on() -> None:
    nobody = Comparison(group(0, cpu=None), group(90))
    check = RolloutCheck(nobody)
    assert look(check, nobody, 0) is look(check, nobody, 9999) is Verdict.CONTINUE
