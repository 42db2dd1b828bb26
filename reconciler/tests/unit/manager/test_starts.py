"""What a manager may write after a start, and with and without the Lease."""

from __future__ import annotations

from colocation.model.facts import Published

from .bench import FULL, GI, Bench, amounts


def test_after_a_start_a_listed_report_may_lower_but_not_raise(bench: Bench) -> None:
    bench.policy()
    bench.node(listed=True, published=Published(4000, 60 * GI, 250))
    bench.report(cpu=0, listed=True)
    bench.sync()
    assert bench.take() == []
    bench.report(cpu=0, at="new")
    [job] = bench.take()
    assert amounts(job)[0] == "6000"


def test_a_node_never_published_is_published_from_the_list(bench: Bench) -> None:
    bench.policy()
    bench.node(listed=True)
    bench.report(listed=True)
    bench.sync()
    [job] = bench.take()
    assert amounts(job) == FULL


def test_a_node_that_was_withdrawn_waits_for_a_report(bench: Bench) -> None:
    bench.policy()
    bench.node(listed=True, withdrawn="silent")
    bench.report(listed=True)
    bench.sync()
    for job in bench.take():  # open at zero headroom, at most
        assert amounts(job)[:2] == ("0", "0")


def test_without_the_lease_nothing_is_written_and_with_it_everything(bench: Bench) -> None:
    bench.leads = False
    bench.sync()
    bench.policy()
    bench.node()
    bench.report()
    bench.step()
    assert bench.writer.jobs == []
    bench.leads = True
    [job] = bench.take()
    assert amounts(job) == FULL


def test_a_lost_lease_empties_the_outbox(bench: Bench) -> None:
    bench.publish()
    bench.loop._outbox._bucket.close(bench.now + 5)
    bench.report(cpu=2000)
    bench.step()
    bench.leads = False
    bench.step(after=6)
    assert bench.writer.jobs == []
    assert len(bench.loop._outbox) == 0
