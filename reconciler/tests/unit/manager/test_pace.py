"""How fast it writes: what goes first, the bucket, starts and edits, failures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from colocation.kube.rest import ApiError
from colocation.manager.loop import AWAIT_SECONDS
from colocation.model.facts import Published

from .bench import GI, Bench


def test_shrinks_go_before_grows() -> None:
    bench = Bench(parallel=1)
    bench.sync()
    bench.policy()
    for name in ("grow", "shrink"):
        bench.node(name, published=Published(3000, 60 * GI, 250))
        bench.report(name)
    while bench.step() and bench.writer.jobs:  # whatever the start brings
        bench.answer(bench.writer.jobs.pop())
    bench.report("grow", cpu=500)
    bench.report("shrink", cpu=4000)
    bench.step()
    order = []
    while bench.writer.jobs:
        job = bench.writer.jobs.pop()
        order.append(job.key[1])
        bench.answer(job)
        bench.step()
    assert order == ["shrink", "grow"]


def test_the_bucket_paces_and_says_when_to_come_back() -> None:
    bench = Bench(rate=2)
    bench.sync()
    bench.policy()
    bench.step()  # a new policy is carried out without limit
    for name in "abc":
        bench.node(name)
    until = bench.step()
    assert len(bench.writer.jobs) == 1
    assert until == pytest.approx(bench.now + 0.5)
    bench.step(after=0.5)
    assert len(bench.writer.jobs) == 2


def just_started(rate: float, nodes: Sequence[str]) -> Bench:
    """These nodes' agents have been told, all at once: the rate is lifted."""
    bench = Bench(rate=rate, parallel=8, lifted=True)
    bench.sync()
    bench.policy()
    for name in nodes:
        bench.node(name)
    assert bench.written() == len(nodes)
    return bench


def test_the_rate_is_lifted_until_a_started_manager_has_caught_up() -> None:
    bench = just_started(rate=2, nodes="abcdef")
    assert bench.written() == 0  # nothing is left; but they are to report yet
    for name in "abcdef":
        bench.report(name)
    assert bench.written() == 6
    assert bench.written() == 0  # caught up
    for name in "abcdef":
        bench.report(name, cpu=2000)
    assert bench.written() == 1
    assert bench.step() == pytest.approx(bench.now + 0.5)


def test_an_agent_that_never_reports_does_not_lift_the_rate_for_ever() -> None:
    bench = just_started(rate=1, nodes=["silent"])
    bench.now += AWAIT_SECONDS
    bench.written()
    bench.written()
    for name in "abc":
        bench.node(name)
    assert bench.written() == 1


def test_agents_that_come_one_after_another_are_all_waited_for() -> None:
    """10,000 agents on a slow server take longer to report than any one of them may."""
    bench = just_started(rate=1, nodes="abcdef")
    for name in "ab":
        bench.now += AWAIT_SECONDS - 1
        bench.report(name)
        assert bench.written() == 1
        assert bench.written() == 0
    for name in "cdef":
        bench.report(name)
    assert bench.written() == 4, "no limit yet"


def test_shrinks_grows_and_what_agents_are_told_share_one_bucket() -> None:
    bench = Bench(rate=1)
    bench.publish_at_rate()
    bench.report("grow", cpu=500)
    bench.report("shrink", cpu=4000)
    bench.pod("b", be=500, node="told")
    sent = []
    for _ in range(12):
        bench.step(after=0.25)
        for job in bench.writer.jobs:
            sent.append((round(bench.now, 2), job.key[1]))
            bench.answer(job)
        bench.writer.jobs = []
    assert [name for _, name in sent] == ["shrink", "told", "grow"]
    times = [at for at, _ in sent]
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times))


def test_server_errors_delay_twice_as_long_each_time_with_jitter() -> None:
    waits = []
    for _ in range(30):
        bench = Bench()
        bench.publish()
        bench.report(cpu=2000)
        took = []
        for _ in range(4):
            [job] = bench.take()
            bench.answer(job, ApiError(503, "ServiceUnavailable", ""))
            bench.step()
            until = bench.loop._outbox.step(bench.now)
            assert until is not None
            took.append(until - bench.now)
            bench.now = until
        waits.append(took)
    for at, whole in enumerate((0.1, 0.2, 0.4, 0.8)):
        given = [took[at] for took in waits]
        assert all(whole / 2 - 1e-9 <= wait <= whole + 1e-9 for wait in given)
        assert max(given) - min(given) > whole / 10  # not all the same


def test_an_edited_policy_is_carried_out_at_once_and_then_the_rate_holds_again() -> None:
    bench = Bench(rate=2, parallel=100, lifted=True)
    bench.sync()
    bench.policy()
    for number in range(20):
        bench.node(f"n{number}")
        for job in bench.take("spec"):
            bench.answer(job)
        bench.report(f"n{number}")
    for _ in range(100):
        bench.now += 0.5
        for job in bench.take():
            bench.answer(job)
    assert bench.loop.settled  # all is written, and the rate holds
    for number in range(20):
        bench.report(f"n{number}", cpu=2000)
    jobs = bench.take()
    assert len(jobs) <= 2
    for job in jobs:
        bench.answer(job)
    bench.policy(generation=2, max_pods=7)
    jobs = bench.take()
    assert len(jobs) >= 18
    for _ in range(3):
        for job in jobs:
            bench.answer(job)
        jobs = bench.take()
    assert bench.loop.settled
    for number in range(20):
        bench.report(f"n{number}", cpu=4000)
    assert len(bench.take()) <= 2


def test_429_closes_the_door_for_all(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [job] = bench.take()
    bench.answer(job, ApiError(429, "TooManyRequests", "", retry_after=7))
    assert bench.take() == []
    bench.now += 6.9
    assert bench.take() == []
    bench.now += 0.2
    assert len(bench.take()) == 1


def test_a_node_that_fails_delays_itself_alone(bench: Bench) -> None:
    bench.publish()
    bench.node("m")
    bench.take("spec")
    bench.report("m")
    [job] = bench.take()
    bench.answer(job, ApiError(500, "InternalError", ""))
    bench.report("n", cpu=2000)
    [other] = bench.take()
    assert other.key == ("node", "n")


def test_connections_that_break_together_are_one_failure() -> None:
    bench = Bench(parallel=8)
    bench.sync()
    bench.policy()
    names = "abcdefgh"
    for name in names:
        bench.node(name)
    for job in bench.take("spec"):
        bench.answer(job)
    for name in names:
        bench.report(name)
    jobs = bench.take()
    assert len(jobs) == 8
    for job in jobs:
        bench.answer(job, ApiError(0, "Unreachable", "ConnectionResetError"))
    until = bench.step()
    assert until is not None
    assert until - bench.now <= 0.5
    bench.now = until
    assert len(bench.take()) == 8


def test_trouble_that_goes_on_closes_for_longer_each_time() -> None:
    bench = Bench()
    bench.publish()
    bench.report(cpu=2000)
    waits = []
    for _ in range(5):
        bench.step()
        jobs, bench.writer.jobs = bench.writer.jobs, []
        for job in jobs:
            bench.answer(job, ApiError(0, "Unreachable", ""))
        bench.step()
        until = bench.loop._outbox.step(bench.now)
        assert until is not None
        waits.append(until - bench.now)
        bench.now = until + 1e-6
    for whole, wait in zip((0.5, 1, 2, 4, 8), waits, strict=True):
        assert whole / 2 - 1e-5 <= wait <= whole + 1e-5


def test_a_longer_retry_after_of_the_same_trouble_counts() -> None:
    bench = Bench(parallel=8)
    bench.sync()
    bench.policy()
    for name in "ab":
        bench.node(name)
        bench.report(name)
    first, second = bench.take()
    bench.answer(first, ApiError(429, "TooManyRequests", "", retry_after=1))
    bench.answer(second, ApiError(429, "TooManyRequests", "", retry_after=9))
    bench.now += 8.9
    assert bench.take() == []
    bench.now += 0.2
    assert len(bench.take()) == 2
