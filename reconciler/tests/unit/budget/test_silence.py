"""When an agent counts as silent: never by the time in which the manager could not hear it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import Hearing, silent_at
from colocation.model.policy import Oversell, PolicySpec, Report
from colocation.model.report import RETRY_SECONDS

SPEC = PolicySpec()  # silent after 180 s, a report each 60 s
BACK = 60 + RETRY_SECONDS


@pytest.mark.parametrize(
    ("missed", "back_at", "expected"),
    [
        (0, float("-inf"), 1180),
        (50, 900, 1180 + 50),  # over before the report came: no time of its own to come back
        (1, 1010, 1181),  # early in its time: what is left is longer than an agent needs to come back
        (200, 1370, 1370 + BACK),  # 170 s heard, 200 s not
        (5, 1184, 1184 + BACK),
        (900, 2079, 2079 + BACK),
        (905, 9000, 1180 + 905 + BACK),  # watches that break again and again: once a report
    ],
)
def test_the_time_to_come_back_begins_when_reports_can_come_in(missed: float, back_at: float, expected: float) -> None:
    assert silent_at(SPEC, 1000, 0, Hearing(missed, back_at)) == expected


def test_an_agent_that_was_silent_before_stays_so() -> None:
    assert silent_at(SPEC, 1000, 0, Hearing(100, 1400), already=True) == 1280
    assert silent_at(SPEC, 1000, 0, Hearing(unproven=9), already=True) == 1180


def test_nobody_is_silent_before_the_api_server_has_answered_after_the_time_was_over() -> None:
    for last_answer in range(1150, 1180):
        for now in range(last_answer, last_answer + 10):
            assert silent_at(SPEC, 1000, 0, Hearing(unproven=now - last_answer)) > now
    assert silent_at(SPEC, 1000, 0, Hearing(unproven=1)) == 1181


@given(
    st.lists(st.tuples(st.floats(0.5, 400), st.floats(0.5, 400)), max_size=6),
    st.floats(0, 400),
    st.integers(10, 400),
    st.integers(5, 200),
)
def test_whatever_breaks_an_agent_has_its_time_and_a_dead_one_is_withdrawn(
    interruptions: list[tuple[float, float]], heard: float, stale: int, interval: int
) -> None:
    spec = PolicySpec(oversell=Oversell(stale_after_seconds=stale), report=Report(interval_seconds=interval))
    grace, now, missed, back_at = interval + RETRY_SECONDS, 0.0, 0.0, float("-inf")
    silent = False
    for sees, blind in interruptions:
        now += sees
        silent = silent or now >= silent_at(spec, 0, 0, Hearing(missed, back_at))
        now, missed = now + blind, missed + blind
        back_at = now
        at = silent_at(spec, 0, 0, Hearing(missed, back_at))
        assert silent or at > now, "nothing goes silent while it could not be heard"
        assert silent or at >= min(now + grace, missed + stale + grace), "after each it has the time to come back"
    now += heard
    assert silent_at(spec, 0, 0, Hearing(missed, back_at)) >= stale + missed
    assert silent_at(spec, 0, 0, Hearing(missed, back_at)) <= stale + missed + grace
