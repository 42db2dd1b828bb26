"""The manager's own blindness is not the agents' silence."""

from __future__ import annotations

import pytest

from colocation.agent.reporter import BACKOFF_SECONDS
from colocation.kube.cache import WatchState
from colocation.kube.resources import NODE_COLOCATIONS, PODS
from colocation.kube.rest import CONNECT_SECONDS, READ_SECONDS, RETRY_AFTER_SECONDS
from colocation.manager.hearing import STILL_SECONDS, Ear
from colocation.manager.loop import Sees, Stop, Wake
from colocation.manager.watch_health import PATIENCE_SECONDS
from colocation.model.facts import Published
from colocation.model.report import RETRY_SECONDS

from .bench import Bench, amounts

LOST, AGAIN = WatchState.LOST, WatchState.AGAIN
COME_BACK = 60 + RETRY_SECONDS
NODES = [f"n{number}" for number in range(5)]


def test_a_lost_watch_of_reports_is_blindness_until_it_is_open_again() -> None:
    ear = Ear()
    assert ear.look(10, 10).missed == 0
    ear.watch_changed(LOST, 12)
    ear.watch_changed(LOST, 15)
    assert ear.look(20, 20).missed == 8
    assert ear.deaf
    ear.watch_changed(AGAIN, 22)
    assert (ear.look(22, 22).missed, ear.look(30, 30).back_at) == (10, 22)
    assert not ear.deaf


def test_while_the_api_server_answers_a_watch_is_waited_for_no_longer_than_patience_lasts() -> None:
    ear = Ear()
    ear.watch_changed(LOST, 100)
    for now in range(100, 200):
        ear.look(now, now)
    assert not ear.deaf
    assert ear.look(200, 200).missed == PATIENCE_SECONDS


def test_an_api_server_that_does_not_answer_is_blindness_since_it_last_did_though_the_watch_seems_open() -> None:
    ear = Ear()
    for now in range(100, 400):  # it hangs: no connection breaks
        ear.look(now, 100)
    assert ear.look(400, 100).missed == 300
    assert ear.look(401, 401).back_at == 401


def test_after_a_long_outage_the_watch_has_all_of_its_time_to_come_back() -> None:
    ear = Ear()
    ear.watch_changed(LOST, 100)
    for now in range(100, 700):
        ear.look(now, 100)
    assert ear.look(700 + PATIENCE_SECONDS - 2, 700).missed == 600 + PATIENCE_SECONDS - 2
    assert ear.deaf


def test_a_manager_that_stood_still_could_not_hear_either() -> None:
    ear = Ear()
    for now in range(10):
        ear.awake(now)
        ear.look(now, now)
    ear.awake(3609)  # suspended
    assert ear.look(3609, 3609).missed == 3600


def test_the_time_to_come_back_is_enough_for_the_slowest_agent() -> None:
    assert RETRY_SECONDS >= CONNECT_SECONDS + READ_SECONDS + BACKOFF_SECONDS
    assert RETRY_SECONDS >= RETRY_AFTER_SECONDS


@pytest.fixture
def bench() -> Bench:
    """Five nodes, published, whose agents have just reported."""
    made = Bench(parallel=8)
    made.sync()
    made.policy(grow_after_seconds=300)
    for name in NODES:
        made.node(name)
    for job in made.take("spec"):
        made.answer(job)
    for name in NODES:
        made.report(name)
    for job in made.take():
        made.answer(job)
    assert made.take() == []
    return made


def lasts(bench: Bench, seconds: float) -> list[str]:
    """Time goes by, a second a round; names of the nodes that are written, all of which are withdrawn."""
    written, end = [], bench.now + seconds
    while bench.now < end:
        bench.now += 1
        for job in bench.take():
            assert amounts(job) == (None, None, None)
            written.append(job.key[1])
            bench.answer(job)
    return written


def goes_away(bench: Bench) -> None:
    bench.say(Sees(NODE_COLOCATIONS, LOST), Sees(PODS, LOST))
    bench.answered_at = bench.now


def comes_back(bench: Bench) -> None:
    bench.answered_at, bench.leads = None, True
    bench.step()
    bench.say(Sees(NODE_COLOCATIONS, AGAIN), Sees(PODS, AGAIN))


@pytest.mark.parametrize("away", [30, 180, 3600])
@pytest.mark.parametrize("hangs", [False, True])
def test_an_api_server_that_was_away_withdraws_no_agent_that_comes_back_in_time(
    bench: Bench, away: int, *, hangs: bool
) -> None:
    assert lasts(bench, 55) == []
    if hangs:  # no connection breaks: neither watch knows of it
        bench.answered_at = bench.now
    else:
        goes_away(bench)
    assert lasts(bench, 8) == []
    bench.leads = False
    assert lasts(bench, away) == []
    comes_back(bench)
    assert lasts(bench, COME_BACK - 1) == []
    for name in NODES[:4]:
        bench.report(name)
    assert bench.take() == [], "headroom and gate are as they were"
    assert set(lasts(bench, 170)) == {"n4"}, "the dead one has had its time"
    assert bench.loop.state.nodes["n0"].evaluation is not None
    assert bench.loop.state.nodes["n0"].evaluation.headroom_cpu == 5000


@pytest.mark.parametrize("age", range(10))
def test_a_server_that_hangs_when_an_agent_is_about_to_be_silent_is_not_taken_for_its_silence(age: int) -> None:
    """The shortest times that a policy may have: an agent's is over sooner than a hanging server is noticed."""
    bench = Bench(parallel=8)
    bench.sync()
    bench.policy(stale_after_seconds=10)
    bench.node()
    for job in bench.take("spec"):
        bench.answer(job)
    bench.report()
    for job in bench.take():
        bench.answer(job)
    assert lasts(bench, age) == []
    bench.answered_at = bench.now
    assert lasts(bench, 9) == [], "it still leads"
    bench.leads = False
    assert lasts(bench, 30) == []
    bench.answered_at, bench.leads = None, True
    assert lasts(bench, COME_BACK - 1) == []
    assert lasts(bench, 2) == ["n"]


def test_an_agent_that_was_silent_before_the_outage_is_not_published_by_it(bench: Bench) -> None:
    assert lasts(bench, 170) == []
    for name in NODES[:4]:
        bench.report(name)
    assert lasts(bench, 20) == ["n4"]
    goes_away(bench)
    bench.leads = False
    assert lasts(bench, 100) == []
    comes_back(bench)
    assert lasts(bench, 100) == []


def test_a_watch_that_breaks_again_and_again_keeps_no_dead_agent_published(bench: Bench) -> None:
    took = 0
    while took < 2000:
        goes_away(bench)
        bench.answered_at = None
        assert lasts(bench, 2) == []
        comes_back(bench)
        took += 32
        if set(lasts(bench, 30)):
            break
    assert took * 30 / 32 + 30 >= 180 + COME_BACK
    assert took <= (180 + COME_BACK) * 32 / 30 + 40


def test_a_watch_of_reports_that_stays_away_does_not_keep_nodes_published_for_ever(bench: Bench) -> None:
    bench.say(Sees(NODE_COLOCATIONS, LOST))
    assert set(lasts(bench, PATIENCE_SECONDS + 180 + COME_BACK)) == set(NODES)


def test_a_node_that_is_taken_over_waits_for_its_first_report_in_time_that_can_be_heard() -> None:
    bench = Bench()
    bench.sync()
    bench.policy()
    bench.node("foreign", published=Published(3000, 2**30, None))
    for job in bench.take("spec"):
        bench.answer(job)
    assert lasts(bench, 100) == []
    goes_away(bench)
    bench.leads = False
    assert lasts(bench, 500) == []
    comes_back(bench)
    assert lasts(bench, COME_BACK - 1) == []
    assert lasts(bench, 10) == ["foreign"]


def test_a_manager_that_was_suspended_withdraws_nobody_for_it(bench: Bench) -> None:
    loop = bench.loop
    for _ in range(30):
        bench.now += 1
        loop.inbox.put(Wake())
        assert loop.round()
    bench.now += 3600  # a live migration that took its time
    loop.inbox.put(Wake())
    assert loop.round()
    assert bench.take() == []
    bench.now += STILL_SECONDS / 2
    loop.inbox.put(Stop())
    assert not loop.round()
    assert bench.take() == []
    assert loop.state.hearing.missed == 3600
