"""Objects that another version wrote: what is not understood costs itself alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation import lenient
from colocation.model.policy import OversellCpu, PolicySpec
from colocation.model.status import PolicyStatus, StableVersion

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("given_spec", "wanted", "names"),
    [
        ({}, PolicySpec(), []),
        ({"priority": 7, "fromTheFuture": {"a": 1}}, PolicySpec(priority=7), []),
        ({"priority": 7, "engine": "newer"}, PolicySpec(priority=7), ["engine"]),
        (
            {"oversell": {"cpu": {"strategy": "newer", "reclaimPercent": 20}, "maxPods": 9}},
            msgspec.structs.replace(
                PolicySpec(),
                oversell=msgspec.structs.replace(
                    PolicySpec().oversell, cpu=OversellCpu(reclaim_percent=20), max_pods=9
                ),
            ),
            ["oversell.cpu.strategy"],
        ),
        ({"oversell": "all of it", "enabled": False}, PolicySpec(enabled=False), ["oversell"]),
        ("no spec at all", PolicySpec(), ["it"]),
    ],
)
def test_a_field_that_cannot_be_read_has_its_default_and_is_named(
    given_spec: Any, wanted: PolicySpec | None, names: list[str]
) -> None:
    spec, problems = lenient.read(PolicySpec, given_spec)
    if wanted is not None:
        assert spec == wanted
    assert [problem.partition(":")[0] for problem in problems] == names


class Inner(msgspec.Struct):
    name: str
    size: int = 1


class Outer(msgspec.Struct):
    inner: Inner = msgspec.field(default_factory=lambda: Inner("default"))
    count: int = 0


@pytest.mark.parametrize("inner", [{}, {"size": 2}, {"name": 7}, "text", None, []])
def test_a_part_that_lacks_what_it_needs_has_its_default_as_a_whole(inner: Any) -> None:
    made, problems = lenient.read(Outer, {"inner": inner, "count": 3})
    assert made == Outer(count=3)
    assert len(problems) == 1


@pytest.mark.parametrize("value", [{}, {"name": 7}, "text", None])
def test_what_has_no_default_at_all_cannot_be_read(value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        lenient.read(Inner, value)


@given(json)
def test_no_policy_is_unreadable(value: Any) -> None:
    spec, problems = lenient.read(PolicySpec, value)
    assert isinstance(spec, PolicySpec)
    assert bool(problems) or msgspec.convert(value, PolicySpec) == spec


def test_a_status_with_an_unknown_condition_keeps_what_it_says_of_the_rollout() -> None:
    status, problems = lenient.read(
        PolicyStatus,
        {
            "observedGeneration": 4,
            "rolloutStopped": "evictions",
            "stable": {"generation": 3, "spec": {"engine": "newer"}},
            "conditions": [
                {"type": "New", "status": "Perhaps", "reason": "r", "message": "", "lastTransitionTime": ""}
            ],
        },
    )
    assert (status.observed_generation, status.rollout_stopped) == (4, "evictions")
    assert status.stable == StableVersion(generation=3, spec={"engine": "newer"})
    assert status.conditions == ()
    assert len(problems) == 1


def test_a_settled_version_without_its_required_fields_is_dropped_alone() -> None:
    status, problems = lenient.read(PolicyStatus, {"matchedNodes": 3, "stable": {"generation": -1, "spec": {}}})
    assert (status.matched_nodes, status.stable) == (3, None)
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"count": "7"}, "count"),
        ({"inner": {"name": "a", "size": "7"}}, "inner"),
        ("text", "Expected"),
        (None, "Expected"),
    ],
)
def test_no_default_stands_in_for_a_field_that_is_needed_nor_for_a_part_of_it(value: Any, why: str) -> None:
    lenient.read(Outer, value)  # without the need each of them has its default
    with pytest.raises(msgspec.ValidationError, match=why):
        lenient.read(Outer, value, ("count", "inner"))


def test_a_needed_field_that_is_absent_has_its_default_and_the_others_are_read_leniently() -> None:
    made, problems = lenient.read(Outer, {"inner": {"name": "a", "size": "7"}}, ("count",))
    assert made == Outer(Inner("a"))
    assert [problem.partition(":")[0] for problem in problems] == ["inner.size"]
