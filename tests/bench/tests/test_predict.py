# SPDX-License-Identifier: Apache-2.0
"""The bench of prediction on tiny made weeks: pooling, verdicts, joined days, churn."""

import random
from pathlib import Path

import pytest

from colocation.predict.margin import BUDGETS
from colocation.replay.fleet import Run
from colocation.replay.score import Point, RuleScore
from tests.bench import churn, predict, weeks
from tests.bench.predict import Cell


def outcome(rule: str, *points: tuple[float, float]) -> RuleScore:
    curve = tuple(Point(margin=float(n), violations=v, severity=0.1, savings=s) for n, (v, s) in enumerate(points))
    return RuleScore(rule=rule, usual=curve[0], curve=curve)


def test_nodes_are_pooled_by_equal_weights() -> None:
    (one,) = predict.pooled([[outcome("a", (0.0, 0.5))], [outcome("a", (0.2, 0.7))]])
    assert one.usual.violations == pytest.approx(0.1)
    assert one.usual.savings == pytest.approx(0.6)


def cell(violations: list[float], days: float = 280) -> Cell:
    runs = [[Run(0.01, part, 0.8, 2 * part)] for part in violations]
    others = [[outcome("best", (0.0, 0.5), (0.02, 0.7)), outcome("worse", (0.0, 0.2), (0.02, 0.3))]] * len(runs)
    return Cell("t", "cpu", 5, days, runs, others)


def test_the_gain_is_over_the_best_other_rule_at_what_was_really_spent() -> None:
    (found,) = predict.judge(cell([0.0, 0.02, 0.01, 0.01]), random.Random(1))
    assert found.best == "best"
    assert found.spent == pytest.approx(1.0)
    assert found.gain == pytest.approx(20)
    assert found.first_day == pytest.approx(2.0)
    assert found.low < 1 < found.high
    assert found.nine_in_ten == pytest.approx(1.7)


@pytest.mark.parametrize(("violations", "days", "met"), [
    ([0.01] * 9, 280, True),
    ([0.02] * 9, 280, False),
    ([0.0] * 8 + [0.144], 280, False),
    ([0.0] * 8 + [0.144], 100, True),  # too few days, and the interval says nothing
    ([0.02] * 9, 100, False),  # few days, but the whole interval is outside
])  # fmt: skip
def test_a_goal_is_missed_where_enough_was_seen_or_the_interval_says_so(
    violations: list[float],
    days: float,
    met: bool,
) -> None:
    one = cell(violations, days)
    (verdict,) = predict.judge(one, random.Random(1))
    assert predict._figures(one, verdict)[0].met is met


def test_a_cell_runs_every_budget_and_every_other_rule_on_each_node() -> None:
    made = [weeks.node(2, 7, number, days=1) for number in range(3)]
    cpu, memory = predict.replay("made", made)
    assert (cpu.resource, memory.resource) == ("cpu", "memory")
    assert [run.budget for run in cpu.runs[2]] == list(BUDGETS)
    assert {one.rule for one in cpu.others[0]} == set(predict.OTHERS) >= {"node max 24h", "n-sigma 24h"}
    assert cpu.days == pytest.approx(3)


def test_tuning_and_judging_sets_have_nothing_in_common() -> None:
    assert not set(weeks.TUNING) & set(weeks.JUDGING)
    assert weeks.nodes(1, 1, days=1) == [weeks.node(1, weeks.JUDGING[0], 0, days=1)]


def test_days_of_one_machine_are_joined_and_the_jump_is_spread_over_the_next_day(tmp_path: Path) -> None:
    for day, level in (("1", 10), ("2", 50)):
        (tmp_path / day).mkdir()
        for name in map(str, range(8)):
            (tmp_path / day / name).write_text(f"{level}\n" * weeks.DAY)
    made = weeks.recorded(tmp_path, 1, 9, whole=True)
    (pod,) = made[0]
    assert len(made) == 8
    assert len(pod[0]) == 2 * weeks.DAY
    assert pod[0][weeks.DAY - 1] == pod[0][weeks.DAY] == 10
    assert pod[0][-1] == pytest.approx(50, abs=0.2)
    assert len(weeks.recorded(tmp_path, 1, 9, whole=False)) < 8


def test_new_pods_of_known_workloads_come_closer_to_no_churn_and_never_beyond_the_pods_alone() -> None:
    for one in churn.run(nodes=2, pods=3, days=1, settle=12 * 60):
        assert one.unknown <= one.known
        assert one.unknown < one.still
