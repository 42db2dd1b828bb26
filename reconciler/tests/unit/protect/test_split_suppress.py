"""Claims about the split and the ceiling, as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.protect.split import MIN_WEIGHT, Claim, split
from colocation.protect.suppress import total

amounts = st.integers(0, 200_000)
claims = st.lists(
    st.builds(lambda weight, limit, need: (weight, limit, need), amounts, amounts, st.one_of(st.none(), amounts)),
    max_size=40,
).map(lambda rows: [Claim(uid=f"{i:03}", weight=w, limit=limit, need=n) for i, (w, limit, n) in enumerate(rows)])


@given(amounts, claims)
def test_never_above_a_limit_and_the_sum_is_exactly_what_can_be_given(available, rows):
    shares = split(available, rows)
    assert all(0 <= shares[row.uid] <= row.limit for row in rows)
    assert sum(shares.values()) == min(available, sum(row.limit for row in rows))


@given(amounts, claims)
def test_nothing_lies_with_the_sated_while_someone_lacks(available, rows):
    shares = split(available, rows)
    needs = {row.uid: row.limit if row.need is None else min(row.need, row.limit) for row in rows}
    if any(shares[uid] < need for uid, need in needs.items()):
        assert all(shares[uid] <= need for uid, need in needs.items())
        assert sum(shares.values()) == available


@given(amounts, claims)
def test_who_lacks_has_its_weighted_part_at_least(available, rows):
    """Max-min: nobody who lacks has less per weight than another got, rounding aside."""
    shares = split(available, rows)
    needs = {row.uid: row.limit if row.need is None else min(row.need, row.limit) for row in rows}
    weights = {row.uid: max(row.weight, MIN_WEIGHT) for row in rows}
    lacking = [row.uid for row in rows if shares[row.uid] < needs[row.uid]]
    for uid in lacking:
        for other in shares:
            ours, theirs = shares[uid] / weights[uid], shares[other] / weights[other]
            slack = (len(rows) + 1) / min(weights[uid], weights[other])
            assert theirs <= ours + slack


@given(amounts, claims, st.randoms())
def test_the_order_of_pods_does_not_matter(available, rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert split(available, shuffled) == split(available, rows)


@pytest.mark.parametrize(
    ("available", "rows", "shares"),
    [
        (900, [("a", 100, 1000, None), ("b", 200, 1000, None)], {"a": 300, "b": 600}),
        (900, [("a", 100, 1000, 100), ("b", 200, 1000, None)], {"a": 100, "b": 800}),
        (900, [("a", 100, 150, None), ("b", 200, 1000, None)], {"a": 150, "b": 750}),
        (900, [("a", 100, 1000, 100), ("b", 100, 1000, 100)], {"a": 450, "b": 450}),
        (0, [("a", 100, 1000, None)], {"a": 0}),
        (900, [("a", 0, 1000, None), ("b", 990, 1000, None)], {"a": 9, "b": 891}),
        (900, [], {}),
        (-5, [("a", 1, 10, None)], {"a": 0}),
    ],
)
def test_split_table(available, rows, shares):
    claimed = [Claim(uid=uid, weight=weight, limit=limit, need=need) for uid, weight, limit, need in rows]
    assert split(available, claimed) == shares


percents = st.integers(0, 100)
sizes = st.integers(1, 1_000_000)


@given(sizes, percents, percents, amounts, amounts, st.one_of(st.none(), amounts), st.floats(0, 3600))
def test_the_ceiling(capacity, target, floor, node_use, be_use, before, seconds):
    result = total(
        capacity=capacity,
        target_percent=target,
        min_percent=floor,
        node_use=node_use,
        be_use=be_use,
        before=before,
        seconds=seconds,
    )
    wanted = max(capacity * floor // 100, capacity * target // 100 - max(0, node_use - be_use))
    assert capacity * floor // 100 <= result <= wanted, "never above what is wanted, never below the floor"
    if before is None or wanted <= before:
        assert result == wanted, "down at once"
    else:
        allowed = max(before + capacity * seconds / 10, capacity * floor // 100)
        assert result <= allowed + 1, "up by at most 10 % of the node a second"
        assert result == wanted or result >= int(before + capacity * seconds / 10) - 1, "but not slower either"


def test_it_grows_back_in_seconds():
    rows, before = [], 100
    for _ in range(5):
        before = total(
            capacity=1000, target_percent=65, min_percent=0, node_use=300, be_use=100, before=before, seconds=1.0
        )
        rows.append(before)
    assert rows == [200, 300, 400, 450, 450]
