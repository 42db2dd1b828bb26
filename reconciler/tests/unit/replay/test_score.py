"""The replay's claims on small made traces, where the right answer is known."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colocation.predict.histogram import CPU
from colocation.replay.rules import RULES, ReplayedNode
from colocation.replay.score import Point, RuleScore, score

FLAT = [[1000.0] * 60] * 4
STEPS = st.lists(st.lists(st.integers(0, 4000), min_size=40, max_size=40), min_size=1, max_size=3)


def replay(pods: Sequence[Sequence[float]], warm_up: int = 24, horizon: int = 12) -> dict[str, RuleScore]:
    group = (ReplayedNode(len(pods), 4000.0 * len(pods), CPU, 95.0), pods)
    return {one.rule: one for one in score([group], RULES, warm_up=warm_up, horizon=horizon)}


@pytest.mark.parametrize("rule", RULES)
def test_use_that_never_changes_violates_no_rule(rule: str) -> None:
    assert replay(FLAT)[rule].usual.violations == 0


@pytest.mark.parametrize(
    ("rule", "savings"),
    [
        ("oracle", 0.75),
        ("usage now + margin", 0.65),
        ("node p95", 0.75),
        ("borg 0.9", 0.1),
        ("n-sigma", 0.75),
        ("max(n-sigma, p99)", 0.75),
        ("pod p95 x 1.1", 1 - 1.1 * CPU.end(CPU.bucket(1000)) / 4000),
        ("own peaks", 1 - 1.1 * CPU.end(CPU.bucket(1000)) / 4000),
    ],
)
def test_what_each_rule_saves_of_flat_use(rule: str, savings: float) -> None:
    assert replay(FLAT)[rule].usual.savings == pytest.approx(savings)


def test_a_step_up_is_a_violation_of_the_steps_before_it_and_its_severity_is_the_shortfall() -> None:
    found = replay([[1000.0] * 40 + [2000.0] * 20], warm_up=24, horizon=12)["node p95"]
    # 24 steps are judged (24 ... 47). Those from 28 on see the rise coming but not in the past: p95 of 1000 until
    # more than 5 % of what was seen is high (2 of 40, rounded up, are let by: 3 high ones at step 42).
    assert found.usual.violations == pytest.approx(14 / 24)
    assert found.usual.severity == pytest.approx(0.5)


@settings(max_examples=25)
@given(STEPS)
def test_the_oracle_is_never_wrong_and_nobody_without_violations_saves_more(pods: list[list[int]]) -> None:
    found = replay(pods)
    assert found["oracle"].usual.violations == 0
    for one in found.values():
        for point in one.curve:
            assert point.violations > 0 or point.savings <= found["oracle"].usual.savings + 1e-9


@settings(max_examples=25)
@given(STEPS)
def test_along_each_curve_a_larger_margin_violates_less_and_saves_less(pods: list[list[int]]) -> None:
    for one in replay(pods).values():
        assert [p.margin for p in one.curve] == sorted(p.margin for p in one.curve)
        assert [p.violations for p in one.curve] == sorted((p.violations for p in one.curve), reverse=True)
        savings = [p.savings for p in one.curve]
        assert savings == pytest.approx(sorted(savings, reverse=True))


def point(violations: float, savings: float) -> Point:
    return Point(margin=0.0, violations=violations, severity=0.0, savings=savings)


@pytest.mark.parametrize(
    ("rate", "savings"),
    [(0.005, None), (0.01, 0.5), (0.02, 0.6), (0.03, 0.7), (0.5, 0.7)],
)
def test_savings_at_an_equal_violation_rate_lie_between_two_points(rate: float, savings: float | None) -> None:
    one = RuleScore(rule="r", usual=point(0.01, 0.5), curve=(point(0.03, 0.7), point(0.01, 0.5), point(0.01, 0.4)))
    assert one.savings_at(rate) == (None if savings is None else pytest.approx(savings))


def test_progress_is_told() -> None:
    result: list[tuple[int, int]] = []
    group = (ReplayedNode(1, 4000.0, CPU, 95.0), [[1.0] * 50])
    score([group, group], RULES, progress=lambda done, total: result.append((done, total)))
    assert result == [(1, 2), (2, 2)]
