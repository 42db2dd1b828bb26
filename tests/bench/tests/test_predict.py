# SPDX-License-Identifier: Apache-2.0
"""The bench of prediction on tiny made days: pooling, gains, spending."""

import pytest

from colocation.predict.margin import BUDGETS
from colocation.replay.rules import BUDGETED, RULES
from colocation.replay.score import Point, RuleScore
from tests.bench import predict
from tests.bench.predict import Case


def outcome(rule: str, *points: tuple[float, float]) -> RuleScore:
    curve = tuple(Point(margin=float(n), violations=v, severity=0.1, savings=s) for n, (v, s) in enumerate(points))
    return RuleScore(rule=rule, usual=curve[0], curve=curve)


def test_nodes_are_pooled_by_equal_weights() -> None:
    (one,) = predict.pooled([[outcome("a", (0.0, 0.5))], [outcome("a", (0.2, 0.7))]])
    assert one.usual.violations == pytest.approx(0.1)
    assert one.usual.savings == pytest.approx(0.6)


def test_the_gain_is_against_the_best_of_the_others() -> None:
    node = [
        outcome("predicted", (0.1, 0.9), (0.0, 0.8)),
        *(outcome(name, (0.1, 0.6), (0.0, 0.5)) for name in predict.OTHERS),
        outcome(BUDGETED, (0.02, 0.8)),
    ]
    case = Case("t", "cpu", 2, 12, [node, node])
    found = predict.gains(case, predict._draws(case.nodes))
    assert [gain.rate for gain in found] == list(predict.RATES)
    assert all(gain.low == pytest.approx(30) and gain.high == pytest.approx(30) for gain in found)


def test_a_case_replays_each_node_for_itself() -> None:
    cpu, memory = predict._cases(None, 2, 12, 1)
    assert (cpu.resource, memory.resource) == ("cpu", "memory")
    assert len(cpu.nodes) == len(predict.SEEDS)
    assert {one.rule for one in cpu.nodes[0]} == {*RULES, BUDGETED}
    assert len(predict.spending(cpu, predict._draws(cpu.nodes))) == len(BUDGETS)
