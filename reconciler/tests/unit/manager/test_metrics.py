"""Withdrawals are counted once, by their reason; a node's series say what it has."""

from __future__ import annotations

from colocation.budget import Withdrawal
from colocation.kube.cache import Delete, Upsert
from colocation.kube.resources import NODES, PODS
from colocation.model.facts import PodFacts, Published, Qos

from .bench import GI, Bench


def withdrawals(bench: Bench) -> dict[str, float]:
    """The reasons counted so far."""
    value = bench.loop._metrics.registry.get_sample_value
    counted = {reason: value("colocation_withdrawals_total", {"reason": reason}) for reason in Withdrawal}
    return {reason: times for reason, times in counted.items() if times}


def test_a_withdrawal_is_counted_once_by_its_first_reason(bench: Bench) -> None:
    bench.publish()
    assert withdrawals(bench) == {}
    bench.now += 180
    [job] = bench.take()
    bench.step(after=1)
    assert withdrawals(bench) == {"Silent": 1}
    bench.answer(job)
    bench.node(label=False, withdrawn="silent")
    bench.step()
    assert withdrawals(bench) == {"Silent": 1}  # it was withdrawn already


def test_a_node_that_never_sold_is_not_counted(bench: Bench) -> None:
    bench.sync()
    bench.node()
    bench.step()
    assert withdrawals(bench) == {}


def test_a_withdrawal_of_the_last_manager_is_not_counted_again(bench: Bench) -> None:
    bench.pod("b", be=1000)
    bench.node(listed=True, published=Published(1000, GI, None), withdrawn="silent")
    bench.sync()
    bench.step()
    assert withdrawals(bench) == {}


def series(bench: Bench, name: str, **labels: str) -> float | None:
    return bench.loop._metrics.registry.get_sample_value(f"colocation_node_{name}", {"node": "n", **labels})


def test_a_nodes_series_say_what_it_has_and_sells_and_go_with_it(bench: Bench) -> None:
    online = PodFacts("u", "u", "online", "n", Qos.LS, True, 700, GI)
    bench.say(Upsert(PODS, "online", online, False))
    bench.publish()
    assert series(bench, "capacity", resource="cpu") == 10_000
    assert series(bench, "requested", resource="cpu") == 700
    sold = series(bench, "oversold", resource="cpu")
    assert sold is not None
    assert sold > 0
    assert series(bench, "withdrawn", reason="") == 0
    bench.now += 180
    bench.step(after=1)
    assert (series(bench, "withdrawn", reason=""), series(bench, "withdrawn", reason="Silent")) == (None, 1)
    bench.say(Delete(NODES, "n"))
    bench.step()
    assert series(bench, "capacity", resource="cpu") is None
