# SPDX-License-Identifier: Apache-2.0
"""The manager against a real API server, and its loop alone at 10,000 nodes."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from colocation.kube.resources import NODES, POLICIES
from colocation.model import names
from colocation.model.facts import NodeFacts
from colocation.model.quantity import parse
from tests.bench import made
from tests.bench.cluster import Cluster, Watcher, each
from tests.bench.figures import Figure, Report, figure, percentile
from tests.bench.process import cpu_seconds, resident_mib, thread_cpu_seconds
from tests.bench.profile import profiled
from tests.bench.warm import Warm
from tests.lab.progress import say, step

DEFAULT_RATE, DEFAULT_BURST = 50.0, 100.0
SHRINKS = 100
MB = 2**20 / 1e6
REPORT_SECONDS = 60
PROFILED_SECONDS = 15
STAGES = {
    "colocation/kube/watch.py:lines": "reading the watch",
    "colocation/kube/watch.py:_decode": "decoding",
    "colocation/kube/cache.py:_hand_on": "decoding",
    "colocation/manager/state.py:apply": "taking in",
    "colocation/budget/suspicions.py:suspicions": "suspicions",
    "colocation/manager/node.py:summed": "adding up pods",
    "colocation/budget/evaluate.py:evaluate": "deciding",
    "colocation/manager/patches.py:node_job": "comparing",
    "colocation/manager/patches.py:spec_job": "comparing",
    "colocation/manager/metrics.py:node": "metrics",
    "colocation/manager/policies.py:look": "policies' status",
    "colocation/manager/loop.py:round": "the loop's own turns",
    "colocation/manager/publisher.py:_send": "writing",
    "colocation/kube/lease.py:_run": "lease",
}
"""Functions whose time, with what they call, is told apart."""


def run(*, full: bool) -> Report:
    """Every figure of the manager; ``full``: 10,000 nodes and 300,000 pods on the server, not 2,000 and 20,000."""
    nodes, pods_each = (10_000, 30) if full else (2_000, 10)
    figures = _warm(10_000, 30, 40)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with step(f"API server with {nodes} nodes and {nodes * pods_each} pods"):
            cluster = Cluster(Path(folder), nodes, pods_each)
        with cluster:
            figures += _live(cluster, full=full)
    words = (
        f"On the API server: {nodes:,} nodes, {nodes * pods_each:,} pods; API server, etcd, manager, agents and bench "
        "share the cores. Loop alone: 10,000 nodes, 300,000 pods. `SCALE=full` puts as many on the server "
        "(manager-full.md)."
    )
    return Report("Manager", words, figures)


def _warm(nodes: int, pods_each: int, minutes: int) -> list[Figure]:
    with step(f"loop alone, {nodes:,} nodes and {nodes * pods_each:,} pods", "two minutes"):
        argv = [sys.executable, "-m", "tests.bench.warm", str(nodes), str(pods_each), str(minutes)]
        warm = msgspec.json.decode(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout, type=Warm)
    return [
        figure("recompute-warm", warm.recompute_seconds, "s", most=0.15,
               note="Whole step of the loop for all nodes on one core, pods and reports as before: policy, window, "
                    "decision, comparison with what is there, metrics; the terms of the sum are kept. CPU, best of 3."),
        figure("recompute-edit", warm.edit_seconds, "s",
               note="A policy is edited: every node is matched and decided again, and its patch made."),
        figure("recompute-scratch", warm.scratch_seconds, "s",
               note="The same with nothing kept: policies matched, all 300,000 pods looked at again."),
        figure("recompute-cold", warm.cold_seconds, "s", note="For the first time: every patch is made as well."),
        figure("resident-loop", warm.resident_mib * MB, "MB", most=300,
               note=f"All nodes, pods and reports in memory; an empty manager has {warm.base_mib * MB:.0f} MB. "
                    "Without threads and connections."),
        figure("churn-growth", warm.churn_mib * MB, "MB", most=3,
               note=f"Over the last 10 of {minutes} minutes' worth of churn: each minute every node reports, and one "
                    "pod in fifty is replaced."),
        figure("resident-churned", warm.churned_mib * MB, "MB",
               note="After it. It fills up in the first half hour; 120 minutes, run once, ended where 30 do."),
        figure("report-cpu-loop", warm.report_seconds * 1000, "ms", most=0.3,
               note="One report of so many pods decoded, taken in and decided."),
    ]  # fmt: skip


def _live(cluster: Cluster, *, full: bool) -> list[Figure]:
    # The first to come finds the server cold; at full size, where a run takes minutes, one of each must do.
    floors, starts = [], []
    if not full:
        floors.append(_floor(cluster))
        starts.append(_cold(cluster, DEFAULT_RATE))
    floors.append(_floor(cluster))
    floor, worse = min(floors), max(floors)
    with Watcher(cluster) as watcher:
        say("cold start, then steady")
        began = time.monotonic()
        process = cluster.manager(DEFAULT_RATE)
        try:
            starts.append(watcher.wait_published(1800) - began)
            used = cpu_seconds(process.pid)
            figures = [
                figure("cold-start", min(starts), "s", floor=floor, most_ratio=1.5,
                       note="From the start of the process to the last Node seen published. The floor: the same lists, "
                            "NodeColocations, reports and Node patches, by a bare client with as many connections. "
                            "With the default rate, which is lifted until a started manager has caught up. "
                            f"The better of {len(starts)} each; worse: {max(starts):.1f} s, floor {worse:.1f} s."),
                figure("cold-start-cpu", used, "s", note="CPU time of the manager itself in that start: the rest of it "
                       "waits for the API server."),
            ]  # fmt: skip
            figures += _steady(cluster, process, watcher, 40.0 if full else 20.0, full=full)
            if not full:
                figures.append(_edit(cluster, watcher))
        finally:
            process.terminate()
            process.wait()
    return figures


def _floor(cluster: Cluster) -> float:
    with step("floor: a bare client lists, creates and patches the same"):
        took = cluster.floor()
        cluster.reset()
    return took


def _edit(cluster: Cluster, watcher: Watcher) -> Figure:
    """A policy that lowers a third of the nodes, at the default rate."""
    zone = {"topology.kubernetes.io/zone": "zone-1"}
    spec = {"priority": 1, "nodeSelector": {"matchLabels": zone}, "oversell": {"cpu": {"reclaimPercent": 20}}}
    waiting = set(cluster.nodes[1::3])
    count, done = len(waiting), threading.Event()
    began = time.monotonic()

    def moved(facts: NodeFacts, _: float) -> None:
        if (facts.published.cpu or 0) < 64_000 * 20 // 100:
            waiting.discard(facts.name)
            if not waiting:
                done.set()

    watcher.moved = moved
    with step(f"a policy lowers {count} nodes at {DEFAULT_RATE:g} writes a second"):
        cluster.rest.create(POLICIES.path(), {**made.POLICY, "metadata": {"name": "less"}, "spec": spec})
        if not done.wait(300):
            raise TimeoutError(f"{len(waiting)} of {count} nodes were not lowered within 300 s")
    paced = (2 * count - DEFAULT_BURST) / DEFAULT_RATE
    note = (
        f"A new policy takes {count} nodes: until the last carries its number, at the default rate, which holds here. "
        "The floor: two writes a node at that rate, after the burst of 100."
    )
    return figure("policy-default-rate", time.monotonic() - began, "s", floor=paced, note=note)


def _cold(cluster: Cluster, rate: float) -> float:
    """Seconds from the start of a manager to the last node published; everything is as before afterwards."""
    with step(f"cold start at {rate:g} writes a second" if rate else "cold start, no limit"):
        with Watcher(cluster) as watcher:
            began = time.monotonic()
            process = cluster.manager(rate)
            try:
                took = watcher.wait_published(1800) - began
            finally:
                process.terminate()
                process.wait()
        cluster.reset()
    return took


def _steady(
    cluster: Cluster, process: subprocess.Popen[bytes], watcher: Watcher, seconds: float, *, full: bool
) -> list[Figure]:
    time.sleep(3)  # the last answers come in
    figures = [
        figure("resident-live", resident_mib(process.pid) * MB, "MB", most=300 if full else None,
               note="The whole process, as in a pod, on the API server's objects.")
    ]  # fmt: skip
    say(f"  nobody reports, {seconds / 2:.0f} s")
    before = cpu_seconds(process.pid)
    time.sleep(seconds / 2)
    idle = (cpu_seconds(process.pid) - before) / (seconds / 2)
    figures.append(
        figure("idle-cpu", 100 * idle, "% of a core", most=1, note="No report, no change; lease and watches.")
    )
    each_second = len(cluster.nodes) / REPORT_SECONDS
    say(f"  {each_second:.0f} reports a second, {seconds:.0f} s")
    before, loop_before = cpu_seconds(process.pid), thread_cpu_seconds(process.pid, process.pid)
    sent = _report_for(cluster, seconds, each_second)
    used = cpu_seconds(process.pid) - before
    of_loop = thread_cpu_seconds(process.pid, process.pid) - loop_before
    with profiled(process.pid, PROFILED_SECONDS, STAGES) as parts:
        _report_for(cluster, PROFILED_SECONDS + 1, 10 * each_second)  # as fast as the server takes them: more samples
    where = ", ".join(f"{what} {part:.0%}" for what, part in parts.items() if part >= 0.02)
    # What it costs to be idle is not the reports'.
    figures.append(
        figure("report-cpu", 1000 * max(0.0, used - idle * seconds) / sent, "ms", most=None if full else 0.3,
               note=f"{sent} reports at {sent / seconds:.1f} a second, each pod in them a little off by itself; kernel "
                    "time and the writes that follow from them included, idle time taken off. "
                    f"{1000 * of_loop / sent:.2f} ms of it in the loop's thread, the rest in those that read "
                    f"the watches, write and keep the lease. A profile of {PROFILED_SECONDS} s more (py-spy: who holds "
                    f"the interpreter): {where or 'not allowed here'}.")
    )  # fmt: skip
    share = idle + (used / seconds - idle) * each_second * seconds / sent
    figures.append(figure("steady-cpu", 100 * share, "% of a core", most=5,
                          note=f"Each node reports every {REPORT_SECONDS} s: {each_second:.1f} a second."))  # fmt: skip
    figures += _shrinks(cluster, watcher, most=None if full else 1000)
    return figures


def _report_for(cluster: Cluster, seconds: float, each_second: float) -> int:
    """Nodes report in turn, so many a second if the server takes them; how many have."""
    began, turn = time.monotonic(), itertools.count()

    def agents(_: int) -> None:
        while (now := time.monotonic()) < began + seconds:
            number = next(turn)
            time.sleep(max(0.0, began + number / each_second - now))
            cluster.report(cluster.nodes[number % len(cluster.nodes)], shift=1 + number % 7)

    each(agents, range(4))
    return next(turn)


def _shrinks(cluster: Cluster, watcher: Watcher, most: float | None) -> list[Figure]:
    chosen = cluster.nodes[:SHRINKS]
    lower = 12_000  # millicores of the system: far above what any node has reported so far
    seen: dict[str, float] = {}
    one = threading.Event()
    wanted = ""
    before: dict[str, int] = {}

    def moved(facts: NodeFacts, now: float) -> None:
        if facts.name == wanted and (facts.published.cpu or 0) < before[wanted]:
            seen[wanted] = now
            one.set()

    watcher.moved = moved
    took, bare = [], []
    for name in chosen:
        amounts = cluster.rest.get(NODES.path(name), dict)["status"]["capacity"]
        before[name] = parse(amounts[names.BE_CPU])
        one.clear()
        wanted = name
        began = time.monotonic()
        cluster.report(name, system=lower)
        if not one.wait(30):
            raise TimeoutError(f"{name} was not lowered within 30 s")
        took.append(1000 * (seen[name] - began))
    wanted = ""
    for name in chosen:  # the same two requests, by one who need not think
        began = time.monotonic()
        cluster.report(name, system=lower)
        cluster.rest.patch(NODES.path(name, sub="status"), {"status": {"capacity": {"example.com/x": "1"}}})
        bare.append(1000 * (time.monotonic() - began))
    note = f"{len(took)} nodes, one after another: report sent -> lower value seen by a watch. Floor: the two requests."
    return [
        figure("shrink-p50", percentile(took, 50), "ms", floor=percentile(bare, 50), note=note),
        figure("shrink-p99", percentile(took, 99), "ms", floor=percentile(bare, 99), most=most, note=note),
    ]
