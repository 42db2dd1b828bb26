"""Withdrawals are counted once, by their reason; a node's series say what it has."""

from __future__ import annotations

import pytest

from colocation.budget import Withdrawal
from colocation.kube.cache import Delete, Upsert, WatchState
from colocation.kube.resources import NODES, PODS
from colocation.manager.loop import Sees
from colocation.model.facts import PodFacts, Published, Qos
from colocation.model.report import PodUsage

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
    assert withdrawals(bench) == {"StaleReport": 1}
    bench.answer(job)
    bench.node(label=False, withdrawn="silent")
    bench.step()
    assert withdrawals(bench) == {"StaleReport": 1}  # it was withdrawn already


def test_a_node_that_never_published_is_not_counted(bench: Bench) -> None:
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


def test_a_nodes_series_say_what_it_has_and_offers_and_go_with_it(bench: Bench) -> None:
    online = PodFacts("u", "u", "online", "n", Qos.LS, True, 700, GI)
    bench.say(Upsert(PODS, "online", online, False))
    bench.publish()
    assert series(bench, "capacity_cpu_cores") == 10
    assert series(bench, "capacity_memory_bytes") == 100 * GI
    assert series(bench, "requested_cpu_cores") == 0.7
    published = series(bench, "published_cpu_cores")
    assert published is not None
    assert published > 0
    assert series(bench, "report_stale_after_seconds") == 180
    assert series(bench, "withdrawn", reason="") == 0
    bench.now += 180
    bench.step(after=1)
    assert (series(bench, "withdrawn", reason=""), series(bench, "withdrawn", reason="StaleReport")) == (None, 1)
    bench.say(Delete(NODES, "n"))
    bench.step()
    assert series(bench, "capacity_cpu_cores") is None


def value(bench: Bench, name: str, **labels: str) -> float | None:
    return bench.loop._metrics.registry.get_sample_value(f"colocation_{name}", labels)


def test_the_time_from_a_report_to_the_node_is_observed_once_the_node_is_patched(bench: Bench) -> None:
    bench.publish()
    before = value(bench, "report_to_node_seconds_sum")
    count = value(bench, "report_to_node_seconds_count")
    assert before is not None
    assert count is not None
    bench.report(cpu=2000)
    bench.now += 1
    [job] = bench.take()
    bench.report(cpu=2100)  # while that one is out
    bench.now += 2
    bench.answer(job)
    assert value(bench, "report_to_node_seconds_sum") == pytest.approx(before + 3)
    assert value(bench, "report_to_node_seconds_count") == count + 1


def test_growth_that_waited_for_its_window_is_no_answer_to_a_report(bench: Bench) -> None:
    bench.publish()
    bench.policy(grow_after_seconds=60)
    bench.take()
    bench.report(cpu=500)
    assert bench.take() == []
    count = value(bench, "report_to_node_seconds_count")
    bench.now += 60
    [job] = bench.take()
    bench.answer(job)
    assert value(bench, "report_to_node_seconds_count") == count


def test_the_write_that_waits_longest_is_told_by_its_age() -> None:
    bench = Bench(parallel=1)
    bench.sync()
    bench.policy()
    for name in "abc":
        bench.node(name)
    bench.step()
    assert value(bench, "writes_oldest_pending_seconds") == 0
    bench.step(after=7)
    assert value(bench, "writes_oldest_pending_seconds") == 7
    bench.loop._outbox.clear()
    bench.step(after=1)
    assert value(bench, "writes_oldest_pending_seconds") == 0


def test_a_watch_that_is_interrupted_is_seen(bench: Bench) -> None:
    assert value(bench, "watch_up", resource="pods") is None
    bench.sync()
    assert value(bench, "watch_up", resource="pods") == 1
    bench.say(Sees(PODS, WatchState.LOST))
    assert value(bench, "watch_up", resource="pods") == 0
    bench.say(Sees(PODS, WatchState.AGAIN))
    assert value(bench, "watch_up", resource="pods") == 1


def total(bench: Bench, name: str) -> float:
    """Over all its labels."""
    families = bench.loop._metrics.registry.collect()
    return sum(sample.value for family in families for sample in family.samples if sample.name == f"colocation_{name}")


def test_what_namespaces_have_and_use_adds_up_to_what_the_nodes_have() -> None:
    bench = Bench()
    bench.sync()
    bench.policy()
    wanted = {"m": [("a/one", 300), ("a/two", 200), ("b/one", 50)], "n": [("a/three", 700), ("c/one", 0)]}
    for node, pods in wanted.items():
        bench.node(node)
        rows = tuple(PodUsage(uid=f"uid-{name}", cpu=be // 2, memory=be) for name, be in pods if name != "b/one")
        for name, be in pods:
            bench.pod(name, be=be, node=node)
        bench.report(node, rows=rows)
    bench.pod("web/one", qos=Qos.LS)
    bench.step()
    for unit in ("cpu_cores", "memory_bytes"):
        assert total(bench, f"be_allocated_{unit}") == total(bench, f"node_allocated_{unit}") > 0
    assert value(bench, "be_allocated_cpu_cores", namespace="a") == 1.2
    assert value(bench, "be_used_cpu_cores", namespace="a") == 0.6
    assert value(bench, "be_used_memory_bytes", namespace="a") == 1200
    assert value(bench, "be_used_cpu_cores", namespace="b") is None, "no report shows that pod"
    assert value(bench, "be_allocated_cpu_cores", namespace="web") is None
    bench.say(Delete(PODS, "c/one"), Delete(PODS, "b/one"))
    bench.step()
    assert value(bench, "be_allocated_cpu_cores", namespace="b") is None, "a namespace goes with its pods"
    assert total(bench, "be_allocated_cpu_cores") == total(bench, "node_allocated_cpu_cores") == 1.2
