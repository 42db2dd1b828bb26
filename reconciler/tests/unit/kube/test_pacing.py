"""Bucket and back-off: pure, with a clock of ours."""

from __future__ import annotations

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from colocation.kube.backoff import Backoff
from colocation.kube.bucket import Bucket
from colocation.kube.rest import _error


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = Bucket(rate=10, burst=3, now=0)
    assert [bucket.take(0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(0) == pytest.approx(0.1)
    assert bucket.take(0.1) == 0
    assert bucket.take(0.1) > 0


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_a_bucket_never_gives_more_than_burst_and_rate_allow(gaps: list[float]) -> None:
    bucket, now, given_out = Bucket(rate=5, burst=4, now=0), 0.0, 0
    for gap in gaps:
        now += gap
        given_out += bucket.take(now) == 0
        assert given_out <= 4 + 5 * now + 1e-6


def test_a_wait_that_was_told_is_enough() -> None:
    bucket = Bucket(rate=7, burst=1, now=0)
    now = 0.0
    for _ in range(50):
        wait = bucket.take(now)
        if wait:
            now += wait
            assert bucket.take(now) == pytest.approx(0, abs=1e-9)


def test_retry_after_closes_the_bucket_for_all() -> None:
    bucket = Bucket(rate=100, burst=100, now=0)
    bucket.close(until=5)
    bucket.close(until=3)  # a shorter word does not shorten it
    assert bucket.take(1) == 4
    assert bucket.take(5) == 0


def test_no_rate_is_no_limit() -> None:
    bucket = Bucket(rate=0, burst=1, now=0)
    assert all(bucket.take(0) == 0 for _ in range(1000))


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    bucket = Bucket(rate=1, burst=1, now=100)
    assert bucket.take(100) == 0
    assert bucket.take(50) > 0


def test_back_off_doubles_to_its_most_and_starts_again() -> None:
    backoff = Backoff(first=1, most=8, rand=lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 8, 8]
    backoff.reset()
    assert backoff.next() == 1


def test_jitter_halves_at_most_and_retry_after_wins() -> None:
    backoff = Backoff(first=4, most=8, rand=lambda: 0.0)
    assert backoff.next() == 2
    assert backoff.next(at_least=30) == 30


def test_back_off_of_ages_does_not_overflow() -> None:
    backoff = Backoff(first=1, most=30)
    backoff.failures = 10**6
    assert backoff.next() <= 30


def test_a_lifted_bucket_has_no_limit_until_it_is_imposed() -> None:
    bucket = Bucket(rate=1, burst=2, now=0, lifted=True)
    assert all(bucket.take(0) == 0 for _ in range(1000))
    bucket.impose(5)
    assert [bucket.take(5), bucket.take(5)] == [0, 0]  # a whole burst
    assert bucket.take(5) == pytest.approx(1)
    bucket.impose(5.5)  # once is enough: it gives nothing away
    assert bucket.take(5.5) == pytest.approx(0.5)


def test_retry_after_counts_though_the_bucket_is_lifted() -> None:
    bucket = Bucket(rate=1, burst=1, now=0, lifted=True)
    bucket.close(until=3)
    assert bucket.take(1) == 2


@pytest.mark.parametrize(
    ("answer", "seconds"), [("7", 7), ("60", 60), ("86400", 60), ("9" * 30, 60), ("soon", None), ("\u00b2", None)]
)
def test_retry_after_counts_up_to_a_minute(answer: str, seconds: float | None) -> None:
    response = urllib3.HTTPResponse(b"{}", {"Retry-After": answer}, status=429)
    assert _error(response).retry_after == seconds
