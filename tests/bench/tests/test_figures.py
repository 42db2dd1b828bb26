# SPDX-License-Identifier: Apache-2.0
"""A missed goal is told as such."""

import pytest

from tests.bench.figures import Report, figure, markdown, percentile


def test_a_goal_is_judged_by_value_or_by_ratio_to_the_floor() -> None:
    assert figure("a", 2.0, "s", most=1).met is False
    assert figure("a", 1.0, "s", most=1).met is True
    missed = figure("a", 3.0, "s", floor=1.5, most_ratio=1.5)
    assert (missed.ratio, missed.met, missed.goal) == (2.0, False, "<= 1.5 x floor")
    assert figure("a", 3.0, "s", floor=1.5).met is None


def test_the_page_names_what_was_missed() -> None:
    figures = [figure("slow", 2.0, "s", most=1, note="why"), figure("quick", 1.0, "s", most=1)]
    page = markdown(Report("T", "words", figures))
    assert "Missed: slow." in page
    assert "* **slow**: why" in page


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100)])
def test_percentiles_are_values_that_were_seen(percent: float, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected
    assert percentile([7], percent) == 7
