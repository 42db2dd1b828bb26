"""A change goes to its first nodes, and stops when these fare worse than the others: each rule on its own."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import Candidate, Compared, Health, Staged, Verdict, Watched, complaints, first_nodes, in_steps
from colocation.budget.rollout import same_effect
from colocation.model.policy import LabelSelector, Oversell, PolicySpec, Rollout

TEN = Rollout(percent=10)
NODES = [(f"n{i}", {"rack": str(i % 4)}) for i in range(40)]


@given(st.integers(1, 100), st.integers(1, 60))
def test_as_many_as_the_percentage_says_and_at_least_one(percent: int, count: int) -> None:
    first = first_nodes("p", Rollout(percent=percent), NODES[:count])
    assert len(first) == max(1, -(-min(count, 40) * percent // 100))


@given(st.permutations(NODES))
def test_the_same_nodes_whatever_the_order(nodes: list[tuple[str, dict[str, str]]]) -> None:
    assert first_nodes("p", TEN, nodes) == first_nodes("p", TEN, NODES)


def test_two_policies_do_not_try_everything_on_the_same_nodes() -> None:
    assert first_nodes("p", TEN, NODES) != first_nodes("q", TEN, NODES)


def test_a_selector_narrows_them_down() -> None:
    rack = Rollout(node_selector=LabelSelector(match_labels={"rack": "1"}))
    assert first_nodes("p", rack, NODES) == {f"n{i}" for i in range(40) if i % 4 == 1}
    both = msgspec.structs.replace(rack, percent=10)
    assert len(first_nodes("p", both, NODES)) == 4
    assert first_nodes("p", both, NODES) < first_nodes("p", rack, NODES)


@given(st.integers(1, 39))
def test_who_has_the_change_keeps_it_when_nodes_are_added(count: int) -> None:
    before = first_nodes("p", TEN, NODES[:count])
    assert before <= first_nodes("p", TEN, NODES, before)


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
    assert in_steps(spec) is steps


def test_how_changes_spread_is_no_change_by_itself() -> None:
    assert same_effect(PolicySpec(), PolicySpec(rollout=TEN))
    assert not same_effect(PolicySpec(), PolicySpec(oversell=Oversell(max_pods=7)))


def test_first_nodes_have_the_change_and_the_others_what_was() -> None:
    new, old = Candidate("p", 2, PolicySpec()), Candidate("p", 1, PolicySpec())
    assert Staged(new, old, frozenset("a")).at("a") is new
    assert Staged(new, old, frozenset("a")).at("b") is old
    assert Staged(new, None, frozenset("a")).at("b") is None  # a new policy selects none but its first nodes


def group(nodes: int = 10, cpu: float | None = 5, memory: float | None = 0, evictions: int = 0, **more: int) -> Health:
    reported, silent = more.get("reported", nodes), more.get("silent", 0)
    return Health(nodes=nodes, reported=reported, silent=silent, cpu=cpu, memory=memory, evictions=evictions)


CALM = Compared(group(), group(90))


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (CALM, CALM, None),
        (CALM, Compared(group(cpu=15), group(90)), None),
        (CALM, Compared(group(cpu=15.1), group(90)), "cpu pressure of the first nodes rose by 10.1 points"),
        (CALM, Compared(group(memory=11), group(90)), "memory pressure of the first nodes rose by 11.0 points"),
        (CALM, Compared(group(cpu=40), group(90, cpu=40)), None),
        (Compared(group(cpu=40), group(90)), Compared(group(cpu=45), group(90)), None),
        (Compared(), Compared(group(cpu=20), group(90)), "rose by 15.0 points"),
        (Compared(group(), group(0, cpu=None)), Compared(group(cpu=20), group(0, cpu=None)), "rose by 15.0 points"),
        (CALM, Compared(group(cpu=None, memory=None), group(90)), None),
        (CALM, Compared(group(cpu=90, reported=0), group(90)), None),
        (CALM, Compared(group(evictions=2), group(90)), None),
        (CALM, Compared(group(evictions=3), group(90)), "3 evictions on the first nodes, 0.0 at the others' rate"),
        (CALM, Compared(group(evictions=5), group(90, evictions=27)), None),
        (CALM, Compared(group(silent=1), group(90)), "1 of 10 first nodes no longer report"),
        (Compared(group(silent=1), group(90)), Compared(group(silent=1), group(90)), None),
    ],
    ids=[
        "nothing has changed", "a rise that is allowed", "cpu pressure", "memory pressure", "all nodes are busier",
        "they were busier before", "nobody remembers how it was", "there are no others", "no PSI on these kernels",
        "a report from before the change", "evictions that are allowed", "evictions",
        "evictions everywhere", "an agent that has fallen silent", "an agent that was silent before",
    ],
)  # fmt: skip
def test_what_speaks_against_a_change(before: Compared, now: Compared, words: str | None) -> None:
    said = complaints(TEN, before, now)
    assert (words is None and said == ()) or (words is not None and words in said[0])


ILL = Compared(group(cpu=50), group(90))


def look(watched: Watched, now: Compared, at: float) -> Verdict:
    return watched.look(Rollout(percent=10, pause_seconds=600), now, at, 120)


def test_pressure_that_lasts_stops_it_and_pressure_that_passes_does_not() -> None:
    watched = Watched(CALM)
    assert [look(watched, now, at) for now, at in ((ILL, 0), (ILL, 119), (CALM, 120), (ILL, 130), (ILL, 249))] == [
        Verdict.GO_ON
    ] * 5
    assert look(watched, ILL, 250) is Verdict.STOP
    assert "cpu pressure" in watched.complaints[0]


def test_well_for_the_whole_pause_without_a_break_is_well() -> None:
    watched = Watched(CALM)
    for at, now in ((0, CALM), (500, CALM), (510, ILL), (520, CALM), (1119, CALM)):
        assert look(watched, now, at) is Verdict.GO_ON
    assert look(watched, CALM, 1120) is Verdict.FINISH


def test_whoever_has_not_reported_since_the_change_is_waited_for() -> None:
    watched = Watched(CALM)
    waiting = Compared(group(reported=9), group(90))
    assert look(watched, waiting, 0) is look(watched, waiting, 5000) is Verdict.GO_ON
    assert look(watched, CALM, 5001) is Verdict.GO_ON
    assert look(watched, CALM, 5601) is Verdict.FINISH


def test_without_first_nodes_nothing_is_known_and_nothing_goes_on() -> None:
    nobody = Compared(group(0, cpu=None), group(90))
    watched = Watched(nobody)
    assert look(watched, nobody, 0) is look(watched, nobody, 9999) is Verdict.GO_ON
