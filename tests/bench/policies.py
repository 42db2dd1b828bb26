# SPDX-License-Identifier: Apache-2.0
"""A policy is edited: how soon each of its nodes carries what follows, and none of the others is touched."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from colocation.kube.resources import NODES, POLICIES
from colocation.model import names
from colocation.model.facts import NodeFacts
from colocation.model.quantity import parse
from tests.bench import made
from tests.bench.cluster import Cluster, Watcher, each
from tests.bench.figures import Figure, Report, figure, percentile
from tests.lab.progress import say, step

DEFAULT_RATE = 50.0
EDITS = (50, 40, 30)
"""reclaimPercent, one after another; each takes 6.4 cores from a node of 64."""


def run(*, full: bool) -> Report:
    """Edits at 1,000 nodes (2,000 with ``full``), a tenth of which another policy has."""
    nodes, pods_each = (2000, 10) if full else (1000, 5)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with step(f"API server with {nodes} nodes and {nodes * pods_each} pods"):
            cluster = Cluster(Path(folder), nodes, pods_each)
        with cluster:
            figures = _edits(cluster)
    words = (
        f"{nodes:,} nodes of which {nodes // 10} are another policy's, {nodes * pods_each:,} pods; API server, "
        "manager and bench share the cores. The manager runs with its default rate of 50 writes a second."
    )
    return Report("Policies", words, figures)


def _edits(cluster: Cluster) -> list[Figure]:
    others = set(cluster.nodes[::10])
    for name in others:
        cluster.rest.patch(NODES.path(name), {"metadata": {"labels": {"pool": "other"}}})
    spec = {"priority": 1, "nodeSelector": {"matchLabels": {"pool": "other"}}}
    cluster.rest.create(POLICIES.path(), {**made.POLICY, "metadata": {"name": "other"}, "spec": spec})
    with Watcher(cluster) as watcher:
        process = cluster.manager(DEFAULT_RATE)
        try:
            with step("all nodes published"):
                watcher.wait_published(600)
            time.sleep(5)  # the last answers, and the policies' status
            took = [_edit(cluster, watcher, percent, len(cluster.nodes) - len(others)) for percent in EDITS]
            deleted = _delete(cluster, watcher, others)
        finally:
            process.terminate()
            process.wait()
    floor = _floor(cluster, [name for name in cluster.nodes if name not in others])
    firsts, lasts = [first for first, _ in took], [last for _, last in took]
    note = "Policy patched -> its last node seen patched by a watch; median. Floor: as many patches by a bare client."
    gone = f"The other policy is deleted: its {len(others)} nodes are the first's again."
    return [
        figure("edit-first", percentile(firsts, 50), "s", note="The first node."),
        figure("edit-last", percentile(lasts, 50), "s", floor=floor, most=2.0, note=note),
        figure("edit-last-worst", max(lasts), "s", floor=floor, note=f"The worst of {len(took)} edits."),
        figure("delete-last", deleted, "s", note=gone),
    ]


class _Seen:
    """When each node was seen with another number than before."""

    def __init__(self, watcher: Watcher, wanted: int) -> None:
        self.at: dict[str, float] = {}
        self.whole = threading.Event()
        self._wanted = wanted
        self._before: dict[str, int | None] = {}
        watcher.moved = self._moved

    def expect(self, before: dict[str, int | None]) -> None:
        self._before = before

    def _moved(self, facts: NodeFacts, now: float) -> None:
        if facts.name in self._before and facts.published.cpu != self._before[facts.name]:
            self.at.setdefault(facts.name, now)
            if len(self.at) >= self._wanted:
                self.whole.set()


def _carried(cluster: Cluster) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name in cluster.nodes:
        value = cluster.rest.get(NODES.path(name), dict)["status"]["capacity"].get(names.BE_CPU)
        found[name] = None if value is None else parse(value)
    return found


def _edit(cluster: Cluster, watcher: Watcher, percent: int, wanted: int) -> tuple[float, float]:
    seen = _Seen(watcher, wanted)
    seen.expect(_carried(cluster))
    began = time.monotonic()
    cluster.rest.patch(POLICIES.path("bench"), {"spec": {"oversell": {"cpu": {"reclaimPercent": percent}}}})
    if not seen.whole.wait(120):
        raise TimeoutError(f"{len(seen.at)} of {wanted} nodes after 120 s")
    time.sleep(1)
    assert len(seen.at) == wanted, "a node of another policy was touched"
    first, last = min(seen.at.values()) - began, max(seen.at.values()) - began
    say(f"  reclaimPercent {percent}: first {first:.2f} s, last {last:.2f} s")
    return first, last


def _delete(cluster: Cluster, watcher: Watcher, others: set[str]) -> float:
    seen = _Seen(watcher, len(others))
    seen.expect(_carried(cluster))
    began = time.monotonic()
    cluster.rest.delete(POLICIES.path("other"))
    if not seen.whole.wait(120):
        raise TimeoutError(f"{len(seen.at)} of {len(others)} nodes after 120 s")
    time.sleep(1)
    assert set(seen.at) == others, "a node of another policy was touched"
    return max(seen.at.values()) - began


def _floor(cluster: Cluster, nodes: list[str]) -> float:
    amounts = {names.BE_CPU: "1", names.BE_MEMORY: "1", names.GATE: "250"}
    body = {"status": {"capacity": amounts, "allocatable": amounts}}
    began = time.monotonic()
    each(lambda name: cluster.rest.patch(NODES.path(name, sub="status"), body), nodes)
    return time.monotonic() - began
