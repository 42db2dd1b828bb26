"""Days of made time: what the loop keeps is bounded by what exists now, not by what has been."""

from __future__ import annotations

from typing import Any

import msgspec

from colocation.budget import SlidingMinimum
from colocation.kube.cache import Delete
from colocation.kube.resources import NODES, PODS, POLICIES
from colocation.kube.rest import ApiError
from colocation.manager.state import GONE_MOST

from .bench import Bench

HOUR = 3600


def sizes(thing: Any, path: str, found: dict[str, int], seen: set[int]) -> None:
    """Elements of every container that can be reached, by the attributes on the way to it."""
    if id(thing) in seen or isinstance(thing, str | bytes | int | float | type(None)):
        return
    seen.add(id(thing))
    if isinstance(thing, dict | list | set | frozenset | tuple):
        found[path] = found.get(path, 0) + len(thing)
        for inner in [*thing.values()] if isinstance(thing, dict) else [*thing]:
            sizes(inner, path + "[]", found, seen)
    elif isinstance(thing, msgspec.Struct):
        for name in thing.__struct_fields__:
            sizes(getattr(thing, name), f"{path}.{name}", found, seen)
    elif isinstance(thing, SlidingMinimum):
        sizes(thing._entries, path, found, seen)
    elif type(thing).__module__.startswith(("colocation.manager", "colocation.kube", "colocation.budget")):
        for name, value in getattr(thing, "__dict__", {}).items():
            # Events and evictions have bounds and tests of their own.
            if name not in ("_events", "_evictions", "_writer", "registry", "_metrics"):
                sizes(value, f"{path}.{name}", found, seen)


def measured(bench: Bench) -> dict[str, int]:
    found: dict[str, int] = {}
    sizes(bench.loop, "loop", found, set())
    return found


def day(bench: Bench, number: int) -> None:
    """Reports each minute, best-effort pods that come and go, edits, nodes that are replaced, hours without a write."""
    for minute in range(24 * 60):
        bench.now += 60
        for name in ("busy", "calm"):
            bench.report(name, cpu=1000 + 500 * (minute % 7) * (name == "busy"))
        for name in ("busy", "silent", "alone"):
            bench.pod(f"{number}-{minute}-{name}", be=100, node=name)
            if minute:
                bench.say(Delete(PODS, f"{number}-{minute - 1}-{name}"))
        if minute % 97 == 0:
            bench.policy(f"p{minute % 5}", generation=number * 2000 + minute + 1, priority=minute % 3)
            bench.say(Delete(POLICIES, f"p{(minute + 1) % 5}"))
            bench.say(Delete(NODES, f"new{minute - 97}"))
            bench.node(f"new{minute}")
        bench.step()
        if 600 < minute < 700:
            continue  # what is out stays out
        error = ApiError(0, "Unreachable", "") if minute % 11 == 0 else None
        jobs, bench.writer.jobs = bench.writer.jobs, []
        for job in jobs:
            bench.answer(job, error if job.key[0] != "policy" or error else None)
    for name in ("busy", "silent", "alone"):
        bench.say(Delete(PODS, f"{number}-{24 * 60 - 1}-{name}"))
    for name in [name for name in bench.loop.state.nodes if name.startswith("new")]:
        bench.say(Delete(NODES, name))
    for name in [name for name in bench.loop.state.policies if name != "p"]:
        bench.say(Delete(POLICIES, name))
    for _ in range(90):
        bench.now += 1
        bench.step()
        jobs, bench.writer.jobs = bench.writer.jobs, []
        for job in jobs:
            bench.answer(job)


def test_days_of_reports_pods_and_edits_leave_nothing_behind() -> None:
    bench = Bench(parallel=4)
    bench.sync()
    bench.policy(stale_after_seconds=86400, grow_after_seconds=300)
    for name in ("busy", "calm", "silent"):
        bench.node(name)
    bench.node("alone", label=False)
    day(bench, 0)
    before = measured(bench)
    assert before["loop.state.nodes"] >= 4
    for number in (1, 2):
        day(bench, number)
    after = measured(bench)
    grown = {path: (before.get(path, 0), count) for path, count in after.items() if count > before.get(path, 0) + 200}
    assert not grown
    assert after["loop._timers"] <= 2 * 4 + 64
    assert after["loop._outbox._order"] <= 64 + 4


def test_pods_that_came_and_went_without_any_report_are_forgotten_but_those_of_the_last_report() -> None:
    bench = Bench()
    bench.sync()
    bench.policy()
    bench.node()
    for number in range(3 * GONE_MOST):
        bench.pod(f"b{number}", be=1)
        bench.say(Delete(PODS, f"b{number}"))
    assert len(bench.loop.state.nodes["n"].gone_be) <= GONE_MOST


def test_jobs_that_are_replaced_and_dropped_while_none_may_go_leave_one_place_each() -> None:
    bench = Bench(parallel=1)
    bench.publish()
    bench.node("m")
    bench.report("m")
    bench.step()  # one is out, and is not answered
    for number in range(1000):
        bench.report(cpu=1000 + 1000 * (number % 4))
        bench.step()
    assert len(bench.loop._outbox._order) <= 2 * 2 + 64
