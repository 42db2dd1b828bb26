"""The two phases: the service alone, then beside offline work; shown while they run."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter

from tests.demo import latency, view
from tests.demo.cluster import DemoCluster

REFRESH = 2.0


class Live:
    """Looks at the cluster every two seconds, prints the table, and adds up what it saw."""

    def __init__(self, cluster: DemoCluster, nodes: list[str]) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._lines = 0
        self._terminal = sys.stdout.isatty()

    def run(self, name: str, seconds: float) -> view.Phase:
        """One phase of so many seconds."""
        phase = view.Phase(name, seconds)
        start = shown = time.monotonic()
        wall = time.time()
        before: list[view.Sample] = []
        while time.monotonic() - start < seconds:
            now = [view.sample(self._cluster.explain(node), time.monotonic()) for node in self._nodes]
            view.integrate(phase, before, now)
            before = now
            recent = {node: self._latencies(node, wall, time.time() - 6) for node in self._nodes}
            if self._terminal or time.monotonic() - shown >= 10 or shown == start:
                shown = time.monotonic()
                left = max(0, seconds - (shown - start))
                self._show(
                    f"{name}, {left:3.0f} s left", view.table(now, recent, shutil.get_terminal_size((150, 40)).columns)
                )
            time.sleep(REFRESH)
        for node in self._nodes:
            phase.latencies += self._latencies(node, wall, wall)
        self._lines = 0
        return phase

    def _latencies(self, node: str, phase_start: float, since: float) -> Counter[int]:
        total: Counter[int] = Counter()
        since = max(phase_start, since)
        for at, buckets in latency.read(self._cluster.load_lines(node, time.time() - since + 2)):
            if at >= since:
                total += buckets
        return total

    def _show(self, title: str, text: str) -> None:
        if self._terminal and self._lines:
            sys.stdout.write(f"\x1b[{self._lines}A\x1b[J")  # over the table before
        block = f"\n{title}\n{text}\n"
        self._lines = block.count("\n")
        sys.stdout.write(block)
        sys.stdout.flush()
