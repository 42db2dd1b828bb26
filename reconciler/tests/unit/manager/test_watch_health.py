"""A manager that does not see does not publish, for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.kube.cache import WatchState
from colocation.kube.resources import PODS
from colocation.manager.loop import Sees
from colocation.manager.watch_health import PATIENCE_SECONDS, SETTLE_SECONDS, WatchHealth
from colocation.model.facts import Qos

from .bench import Bench, amounts

LOST, AGAIN = WatchState.LOST, WatchState.AGAIN


def test_who_sees_may_write_at_once() -> None:
    assert WatchHealth().clear_at(7) == 7


def test_a_lost_watch_holds_until_it_is_back_and_what_it_missed_is_in() -> None:
    health = WatchHealth()
    health.changed("pods", LOST, 10)
    health.changed("nodes", LOST, 11)
    health.changed("pods", AGAIN, 12)
    assert health.clear_at(12) == 10 + PATIENCE_SECONDS
    health.changed("nodes", AGAIN, 13)
    assert health.clear_at(13) == 13 + SETTLE_SECONDS
    assert health.clear_at(14) == 14


def test_a_watch_that_stays_away_holds_no_longer_than_patience_lasts() -> None:
    health = WatchHealth()
    health.changed("pods", LOST, 10)
    health.changed("pods", LOST, 25)
    assert health.clear_at(26) == 30
    assert health.clear_at(31) == 31


def test_after_a_long_outage_the_watches_have_all_of_their_time_to_come_back() -> None:
    health = WatchHealth()
    health.changed("pods", LOST, 10)
    health.reached(500)
    assert health.clear_at(500) == 500 + PATIENCE_SECONDS


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from("ab"), st.sampled_from([LOST, AGAIN])), max_size=40))
def test_nothing_holds_for_ever(events: list[tuple[float, str, WatchState]]) -> None:
    health, now = WatchHealth(), 0.0
    for wait, what, state in events:
        now += wait
        health.changed(what, state, now)
        assert health.clear_at(now) <= now + PATIENCE_SECONDS


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.publish()
    return made


def test_what_comes_in_while_the_pods_are_not_seen_is_written_once_they_are(bench: Bench) -> None:
    bench.say(Sees(PODS, LOST))
    bench.report(cpu=500)  # more headroom: but which pods are there by now is not known
    assert bench.take() == []
    bench.now += 3
    bench.say(Sees(PODS, AGAIN))
    bench.pod("web", qos=Qos.LS)  # the one that was bound meanwhile: 250m until a report shows it
    assert bench.take() == []
    bench.now += SETTLE_SECONDS
    [job] = bench.take()
    assert amounts(job)[0] == "5200"  # 10,000 - 4,000 - 500 - 250, down to 100


def test_silence_is_withdrawn_though_a_watch_stays_away(bench: Bench) -> None:
    bench.now += 175
    bench.say(Sees(PODS, LOST))
    bench.now += PATIENCE_SECONDS
    [job] = bench.take()
    assert amounts(job) == (None, None, None)
