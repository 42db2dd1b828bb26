# SPDX-License-Identifier: Apache-2.0
"""The manager against a real API server, and its loop alone at 10,000 nodes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from colocation.kube.resources import NODES
from colocation.model import names
from colocation.model.facts import NodeFacts
from colocation.model.quantity import parse
from tests.bench.cluster import Cluster, Watcher
from tests.bench.figures import Figure, Report, figure, percentile
from tests.bench.process import cpu_seconds, resident_mib
from tests.bench.warm import Warm
from tests.lab.progress import say, step

DEFAULT_RATE, DEFAULT_BURST = 50.0, 100.0
SHRINKS = 200
STEADY_SECONDS = 30.0
REPORT_SECONDS = 60


def run(*, full: bool) -> Report:
    """Every figure of the manager; ``full``: 10,000 nodes on the server instead of 500."""
    nodes, pods_each = (10_000, 30) if full else (500, 10)
    figures = _warm(10_000, 30)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with step(f"API server with {nodes} nodes and {nodes * pods_each} pods"):
            cluster = Cluster(Path(folder), nodes, pods_each)
        with cluster:
            figures += _live(cluster)
    words = (
        f"On the API server: {nodes:,} nodes, {nodes * pods_each:,} pods; API server, manager, agents and bench "
        "share the cores. Loop alone: 10,000 nodes, 300,000 pods. `SCALE=full` puts as many on the server."
    )
    return Report("Manager", words, figures)


def _warm(nodes: int, pods_each: int) -> list[Figure]:
    with step(f"loop alone, {nodes:,} nodes and {nodes * pods_each:,} pods", "about a minute"):
        argv = [sys.executable, "-m", "tests.bench.warm", str(nodes), str(pods_each)]
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
        figure("resident-loop", warm.resident_mib, "MiB", most=300,
               note=f"All nodes, pods and reports in memory; an empty manager has {warm.base_mib:.0f} MiB. "
                    "Without the client that reads a kubeconfig, which no pod loads."),
        figure("report-cpu-loop", warm.report_seconds * 1000, "ms", most=0.3,
               note="One report of so many pods decoded, taken in and decided."),
    ]  # fmt: skip


def _live(cluster: Cluster) -> list[Figure]:
    with step("floor: a bare client lists, creates and patches the same"):
        runs = []
        for _ in range(2):  # the first to come finds the server cold
            runs.append(cluster.floor())
            cluster.reset()
        floor, worse = min(runs), max(runs)
    first = _cold(cluster, 0)
    with Watcher(cluster) as watcher:
        say("cold start again, then steady")
        began = time.monotonic()
        process = cluster.manager(rate=0)
        try:
            took = watcher.wait_published(1800) - began
            used = cpu_seconds(process.pid)
            figures = [
                figure("cold-start", min(first, took), "s", floor=floor, most_ratio=1.5,
                       note="From the start of the process to the last Node seen published. The floor: the same lists, "
                            "NodeColocations, reports and Node patches, by a bare client with as many connections. "
                            f"Of each the better of two runs; worse: {max(first, took):.1f} s, floor {worse:.1f} s."),
                figure("cold-start-cpu", used, "s", note="CPU time of the manager itself in that start."),
            ]  # fmt: skip
            figures += _steady(cluster, process, watcher)
        finally:
            process.terminate()
            process.wait()
    cluster.reset()
    took = _cold(cluster, DEFAULT_RATE)
    paced = max(floor, (2 * len(cluster.nodes) - DEFAULT_BURST) / DEFAULT_RATE)
    note = "The floor: two writes a node at that rate, after the burst of 100."
    return [*figures, figure("cold-start-default-rate", took, "s", floor=paced, note=note)]


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


def _steady(cluster: Cluster, process: subprocess.Popen[bytes], watcher: Watcher) -> list[Figure]:
    figures = [
        figure("resident-live", resident_mib(process.pid), "MiB",
               note="The whole process on the API server's objects, with the client that reads a kubeconfig.")
    ]  # fmt: skip
    time.sleep(3)  # the last answers come in
    say(f"  nobody reports, {STEADY_SECONDS / 2:.0f} s")
    before = cpu_seconds(process.pid)
    time.sleep(STEADY_SECONDS / 2)
    idle = (cpu_seconds(process.pid) - before) / (STEADY_SECONDS / 2)
    figures.append(
        figure("idle-cpu", 100 * idle, "% of a core", most=1, note="No report, no change; lease and watches.")
    )
    each_second = len(cluster.nodes) / REPORT_SECONDS
    say(f"  {each_second:.0f} reports a second, {STEADY_SECONDS:.0f} s")
    before, sent, began = cpu_seconds(process.pid), 0, time.monotonic()
    while (now := time.monotonic()) < began + STEADY_SECONDS:
        cluster.report(cluster.nodes[sent % len(cluster.nodes)], shift=1 + sent % 7)
        sent += 1
        time.sleep(max(0.0, began + sent / each_second - now))
    used = cpu_seconds(process.pid) - before
    # What it costs to be idle is not the reports'.
    figures.append(
        figure("report-cpu", 1000 * max(0.0, used - idle * STEADY_SECONDS) / sent, "ms", most=0.3,
               note=f"{sent} reports at {sent / STEADY_SECONDS:.1f} a second, each a little different; kernel time and "
                    "the writes that follow from them included, idle time taken off.")
    )  # fmt: skip
    figures.append(figure("steady-cpu", 100 * used / STEADY_SECONDS, "% of a core", most=5,
                          note=f"Each node reports every {REPORT_SECONDS} s."))  # fmt: skip
    figures += _shrinks(cluster, watcher)
    return figures


def _shrinks(cluster: Cluster, watcher: Watcher) -> list[Figure]:
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
        figure("shrink-p99", percentile(took, 99), "ms", floor=percentile(bare, 99), most=1000, note=note),
    ]
