"""A manager that does not see does not publish, for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.kube.cache import WatchState
from colocation.kube.resources import NODE_COLOCATIONS, PODS
from colocation.manager.loop import Sees, Wake
from colocation.manager.watch_health import BLIND_SECONDS, PATIENCE_SECONDS, SETTLE_SECONDS, WatchHealth
from colocation.model.facts import Published, Qos

from .bench import GI, Bench, amounts

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


INTERVAL, RETRY, STALE = 60, 60, 180
"""Of the policy, of the agents, of the policy: seconds."""


@pytest.fixture
def five() -> Bench:
    """Five published nodes, all with fresh reports, no window to grow in but the policy's own."""
    made = Bench(parallel=9)
    made.sync()
    made.policy(grow_after_seconds=300)
    for number in range(5):
        made.node(f"n{number}")
    for job in made.take("spec"):
        made.answer(job)
    for number in range(5):
        made.report(f"n{number}")
    jobs = made.take()
    assert len(jobs) == 5
    for job in jobs:
        made.answer(job)
    return made


def test_an_outage_as_long_as_stale_after_seconds_withdraws_no_node(five: Bench) -> None:
    five.now += 1
    five.say(Sees(NODE_COLOCATIONS, LOST), Sees(PODS, LOST))
    five.leads = False  # no Lease without an API server
    for _ in range(40):
        five.now += STALE / 40
        assert five.take() == []
    five.leads = True
    assert five.take() == []
    five.now += 1
    five.say(Sees(NODE_COLOCATIONS, AGAIN), Sees(PODS, AGAIN))
    for _ in range(INTERVAL + RETRY - 1):
        five.now += 1
        assert five.take() == []
    for number in range(5):
        five.report(f"n{number}")
    five.now += 1
    assert five.take() == []  # as it stood before: nothing had fallen, so nothing has to grow again


def test_an_agent_that_stays_silent_after_an_outage_is_withdrawn(five: Bench) -> None:
    five.say(Sees(NODE_COLOCATIONS, LOST))
    five.leads = False
    five.now += 3600
    assert five.take() == []
    five.leads = True
    five.say(Sees(NODE_COLOCATIONS, AGAIN))
    assert five.take() == []
    for number in range(4):
        five.report(f"n{number}")
    five.now += INTERVAL + RETRY
    [job] = five.take()
    assert (job.key[1], amounts(job)) == ("n4", (None, None, None))


def test_a_short_interruption_shortens_nothing(five: Bench) -> None:
    five.now += 10
    five.say(Sees(NODE_COLOCATIONS, LOST))
    five.now += 1
    five.say(Sees(NODE_COLOCATIONS, AGAIN))
    five.now += STALE - 12
    assert five.take() == []
    five.now += 2
    assert len(five.take()) == 5


def test_a_leader_whose_watch_of_reports_stays_away_does_not_publish_on_for_ever(five: Bench) -> None:
    five.say(Sees(NODE_COLOCATIONS, LOST))
    five.now += BLIND_SECONDS + INTERVAL + RETRY - 1
    assert five.take() == []
    five.now += 1
    assert len(five.take()) == 5


def test_a_manager_that_was_stopped_reads_what_arrived_before_it_counts_silence(five: Bench) -> None:
    """SIGSTOP, or a virtual machine that is saved: time goes on, and reports wait in the sockets."""
    five.loop.inbox.put(Wake())
    five.loop.round()
    five.now += STALE + 100
    five.loop.inbox.put(Wake())
    five.loop.round()
    assert not [job for job in five.writer.jobs if job.key[0] == "node"]
    five.now += INTERVAL + RETRY
    assert len(five.take()) == 5


def test_numbers_that_are_taken_over_wait_for_the_first_report_of_an_agent_that_could_be_seen() -> None:
    bench = Bench()
    bench.sync()
    bench.policy()
    bench.node(published=Published(cpu=1500, memory=3 * GI))
    bench.take("spec")
    bench.say(Sees(NODE_COLOCATIONS, LOST))
    bench.leads = False
    bench.now += STALE
    bench.leads = True
    bench.say(Sees(NODE_COLOCATIONS, AGAIN))
    assert bench.take() == []
    bench.now += INTERVAL + RETRY
    [job] = bench.take()
    assert amounts(job) == (None, None, None)
