"""The sliding minimum: falls at once, rises when the space has lasted."""

from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import SlidingMinimum


def test_falls_at_once_and_rises_after_the_window() -> None:
    window = SlidingMinimum(300)
    window.add(0, 10)
    window.add(5, 4)
    assert window.minimum(5) == 4
    window.add(10, 12)
    assert window.minimum(309) == 4
    assert window.rises_at() == 310
    assert window.minimum(310) == 12


def test_the_same_value_again_does_not_start_anew() -> None:
    window = SlidingMinimum(300)
    for now in (0, 100, 200):
        window.add(now, 4)
    assert (window.minimum(1_000_000), window.rises_at()) == (4, None)


def test_a_window_of_zero_follows() -> None:
    window = SlidingMinimum(0)
    window.add(0, 4)
    window.add(1, 9)
    assert window.minimum(1) == 9


def test_empty() -> None:
    assert SlidingMinimum(5).minimum(0) is None


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), min_size=1, max_size=60), st.integers(0, 120))
def test_equals_the_minimum_taken_slowly(steps: list[tuple[int, int]], seconds: int) -> None:
    window, now, history = SlidingMinimum(seconds), 0, []
    for wait, value in steps:
        now += wait
        window.add(now, value)
        history.append((now, value))
        ends = [start for start, _ in history[1:]] + [float("inf")]
        slow = min(v for (_, v), end in zip(history, ends, strict=True) if end > now - seconds)
        assert window.minimum(now) == slow
