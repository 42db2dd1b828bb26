"""The scores of a node and of a fleet: claims about buckets, quantiles, and what one node can do to the others."""

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colocation.predict import fleet
from colocation.predict.scores import BUCKETS, EDGES, PRIOR, KeptScores, Scores, bucket, quantile, tails

counts = st.lists(st.integers(0, 20_000), min_size=1, max_size=BUCKETS)
BUDGETS = st.floats(0.001, 0.2)


@given(st.floats(-100, 1e12))
def test_a_score_is_in_the_bucket_whose_edges_are_around_it(score: float) -> None:
    found = bucket(score)
    assert found == BUCKETS - 1 or score <= EDGES[found + 1] + 1e-9
    assert found == 0 or score >= EDGES[found] - 1e-9 * max(1.0, abs(score))


@given(counts.filter(any), BUDGETS, BUDGETS)
def test_a_smaller_budget_has_a_larger_quantile_within_the_buckets(row: list[int], one: float, other: float) -> None:
    padded = [*row, *([0] * (BUCKETS - len(row)))]
    small, large = quantile(padded, min(one, other)), quantile(padded, max(one, other))
    assert EDGES[0] <= large <= small <= EDGES[-1]


@pytest.mark.parametrize("budget", [0.005, 0.01, 0.02, 0.05])
def test_the_quantile_of_many_scores_is_theirs(budget: float) -> None:
    dice = random.Random(1)
    drawn = sorted(dice.expovariate(1.0) for _ in range(50_000))
    table = [0.0] * BUCKETS
    for score in drawn:
        table[bucket(score)] += 1
    assert quantile(table, budget) == pytest.approx(-math.log(budget), rel=0.05)


def test_it_begins_with_the_prior_wider_for_half_a_day_and_ends_with_its_own() -> None:
    scores = Scores(300.0)
    begin = scores.multiple(0.01)
    assert begin == pytest.approx(1.5 * quantile(PRIOR, 0.01))
    for _ in range(288):
        scores.add(0.1)
    assert scores.multiple(0.01) < 0.8 * begin
    for _ in range(60 * 288):
        scores.add(0.1)
    assert scores.multiple(0.1) <= 0.25
    for _ in range(14 * 288):
        scores.add(6.0)
    assert scores.multiple(0.1) > 4, "half of what is remembered is of the last two weeks"


def test_the_first_hours_are_left_out_of_what_is_reported() -> None:
    scores = Scores()
    for _ in range(150):
        scores.add(30.0)
    assert scores.counts == ()
    for _ in range(90):
        scores.add(-1.0)
    assert scores.counts == (90,)


@given(counts)
@settings(max_examples=50)
def test_any_table_of_the_fleet_is_taken_and_weighs_seven_days_at_most(row: list[int]) -> None:
    scores = Scores()
    scores.follow(row)
    assert 0 <= scores.multiple(0.01) <= 1.5 * EDGES[-1]
    before = scores.multiple(0.01)
    total = sum(row)
    scores.follow([count * 1000 for count in row])
    if total >= 7 * 1440:
        assert scores.multiple(0.01) == pytest.approx(before, rel=1e-6), "more than seven days weigh as seven"
    scores.follow([0] * BUCKETS)
    assert scores.multiple(0.01) == Scores().multiple(0.01)


def test_a_restart_keeps_the_scores_and_garbage_is_refused() -> None:
    before, after = Scores(), Scores()
    dice = random.Random(2)
    for _ in range(3000):
        before.add(dice.gauss(0, 2))
    after.restore(msgspec.json.decode(msgspec.json.encode(before.keep()), type=KeptScores))
    assert after.multiple(0.01) == pytest.approx(before.multiple(0.01), rel=1e-3)
    assert after.counts == pytest.approx(before.counts, abs=1)
    for bad in (KeptScores((1.0,), 0), KeptScores((math.nan,) * BUCKETS, 0), KeptScores((0.0,) * BUCKETS, -1)):
        with pytest.raises(ValueError, match="not scores"):
            Scores().restore(bad)


def honest(nodes: int, seed: int = 1, days: int = 3) -> list[tuple[int, ...]]:
    dice, rows = random.Random(seed), []
    for _ in range(nodes):
        row, shape = [0] * BUCKETS, dice.uniform(0.7, 1.3)
        for _ in range(days * 1440):
            row[bucket(shape * dice.expovariate(1.0) - 0.5)] += 1
        rows.append(tuple(row))
    return rows


NODES = honest(12)


@settings(max_examples=60)
@given(counts.filter(lambda row: sum(row) >= 60), st.integers(3, 11))
def test_one_node_that_lies_stays_within_what_honest_ones_could_say(lie: list[int], nodes: int) -> None:
    """Whatever it claims: the tail of the fleet at each edge stays within those of the honest nodes."""
    rows = NODES[:nodes]
    table = fleet.merge([*rows, lie])
    merged, each = tails(table), [tails(row) for row in rows]
    for at, tail in enumerate(merged):
        assert min(row[at] for row in each) - 0.001 <= tail <= max(row[at] for row in each) + 0.001


def test_one_liar_among_many_hardly_moves_the_margin() -> None:
    rows = honest(60, days=1)
    liar = [0] * (BUCKETS - 1) + [2**31 - 1]
    padded = [[*table, *([0] * (BUCKETS - len(table)))] for table in (fleet.merge(rows), fleet.merge([*rows, liar]))]
    for budget in (0.005, 0.01, 0.05):
        assert quantile(padded[1], budget) == pytest.approx(quantile(padded[0], budget), rel=0.06)


def test_a_table_needs_three_nodes_with_an_hour_each_and_weighs_what_they_have_seen() -> None:
    assert fleet.merge(NODES[:2]) == ()
    assert fleet.merge([*NODES[:2], (59,), [1] * 64]) == ()
    assert sum(fleet.merge([(40, 20)] * 3)) == pytest.approx(180, abs=2)
    assert sum(fleet.merge(NODES)) == pytest.approx(7 * 1440, abs=BUCKETS)


def test_of_ten_thousand_nodes_a_sample_is_looked_at() -> None:
    padded = [[*t, *([0] * (BUCKETS - len(t)))] for t in (fleet.merge(NODES * 200), fleet.merge(NODES * 40))]
    assert quantile(padded[0], 0.01) == pytest.approx(quantile(padded[1], 0.01), rel=0.02)


def test_tables_differ_when_margins_differ_by_a_tenth() -> None:
    table = fleet.merge(NODES)
    assert not fleet.differs(table, table)
    assert not fleet.differs(table, fleet.merge(NODES[1:]))
    assert fleet.differs(table, ())
    assert fleet.differs((), table)
    assert fleet.differs(table, (0, 0, 0, *table))
