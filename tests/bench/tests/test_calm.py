# SPDX-License-Identifier: Apache-2.0
"""The replay on small made days: what it counts is what happened."""

from pathlib import Path

import pytest

from tests.bench import day
from tests.bench.calm import RULES, SETTLE_MINUTES, replay
from tests.bench.day import POD_CPU, Day, Pod

MINUTES = day.STEPS * day.STEP


def flat(cpu: int) -> Day:
    return Day("flat", "", [[Pod([cpu] * MINUTES, [day.GI] * MINUTES) for _ in range(3)]], ("cpu", "memory"))


def test_where_use_does_not_move_nothing_is_written() -> None:
    result, line = replay(flat(1000))
    assert [t.writes for t in result if t.rule not in {"ours", "ours, coarse"}] == [0, 0, 0, 0]
    assert all(t.writes <= 0.1 and t.over_free == 0 for t in result)
    assert len(line.free) == MINUTES - 1 - SETTLE_MINUTES


def test_a_leap_of_use_is_counted_as_over_free_until_the_next_report_for_every_rule() -> None:
    quiet, busy, at = 400, POD_CPU, MINUTES - 100
    series = [quiet] * at + [busy] * (MINUTES - at)
    leap = Day("leap", "", [[Pod(series, [day.GI] * MINUTES) for _ in range(3)]], ("cpu",))
    result, _ = replay(leap)
    one_minute = 100 / (MINUTES - 1 - SETTLE_MINUTES)
    assert [t.rule for t in result] == list(RULES)
    for t in result:
        assert t.over_free == pytest.approx(one_minute)  # until the report that shows it, and no longer
        assert t.fall > 40


def test_a_made_day_is_the_same_each_time_and_within_its_pods() -> None:
    one, two = day.made(2, 3), day.made(2, 3)
    assert one == two
    assert all(0 <= use <= POD_CPU for pods in one.nodes for pod in pods for use in pod.cpu)
    assert all(len(pod.cpu) == len(pod.memory) == MINUTES for pods in one.nodes for pod in pods)


def test_a_trace_is_read_as_percent_of_each_pod(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("50 25\n" * day.STEPS)
    found = day.trace(tmp_path, nodes=9, pods_each=2)
    assert found.resources == ("cpu", "memory")
    assert found.nodes == [[Pod([POD_CPU // 2] * MINUTES, [day.POD_MEMORY // 4] * MINUTES)] * 2]
    with pytest.raises(ValueError, match="only 2 series"):
        day.trace(tmp_path, nodes=1, pods_each=3)
