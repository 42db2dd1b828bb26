# SPDX-License-Identifier: Apache-2.0
"""Pairs are judged by their own ratios: a busy minute that meets one pair alone does not decide."""

import pytest

from tests.bench import __main__ as program
from tests.bench.compare import NOTES, Row


def test_the_median_of_the_pairs_ratios_decides_and_not_the_ratio_of_the_medians() -> None:
    row = Row("loop-report-ms", before=[1.0, 10.0, 2.0], now=[1.0, 10.0, 9.0])
    assert row.ratios == [1.0, 1.0, 4.5]
    assert row.figure().met is True
    assert "| 1.00 | 1.00 to 4.50 | yes |" in row.line()


def test_a_figure_that_is_worse_in_most_pairs_misses_its_goal() -> None:
    row = Row("agent-round-ms", before=[1.0, 2.0, 4.0], now=[1.2, 2.4, 4.0])
    assert (row.figure().ratio, row.figure().met) == (1.2, False)
    assert "**no**" in row.line()


@pytest.mark.parametrize("name", NOTES)
def test_every_figure_that_has_a_note_has_a_unit(name: str) -> None:
    assert Row(name, [1.0], [1.0]).figure().unit


def test_without_a_commit_nothing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["compare"]) == 2
    assert "needs the commit" in capsys.readouterr().err
