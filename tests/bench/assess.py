# SPDX-License-Identifier: Apache-2.0
"""`colocation assess` at 50, 200 and 1,000 nodes: time, memory, bytes asked for.

50 nodes with 6 pods each are in a real Prometheus. The other sizes are answered by a stand-in that has the same few
series for every node and pod (`standin.py`): a Prometheus with two weeks of 30,000 pods does not fit a bench.
ASSESS_NODES=50,200 leaves sizes out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODES, PODS
from colocation.kube.rest import Rest
from tests.assess.server import Prometheus
from tests.assess.synthetic import objects, synthesize, write_openmetrics
from tests.bench.cluster import Cluster
from tests.bench.figures import Figure, Report, figure
from tests.bench.standin import StandIn
from tests.lab.apiserver import ApiServer
from tests.lab.progress import step

SIZES = (50, 200, 1000)
PODS_EACH = 30
SOURCES = Path(__file__).parents[2] / "reconciler/src"
GOALS = {50: 20.0, 1000: 300.0}
"""Seconds."""
MIB = {1000: 1024.0}


def run(*, full: bool) -> Report:
    """The sizes; ``full`` changes nothing."""
    sizes = [int(size) for size in os.environ.get("ASSESS_NODES", "").split(",") if size] or list(SIZES)
    figures: list[Figure] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, step(f"{size}"):
            figures += _real(Path(folder), size) if size == SIZES[0] else _stand_in(Path(folder), size)
    words = (
        "Two weeks, nodes at 5 minutes, pods by the hour; nothing cached. API server, Prometheus and the command share "
        "the cores. 50 nodes with 6 pods each: a real Prometheus, scraped each 2 minutes, filled by promtool. The "
        f"other sizes have {PODS_EACH} pods a node, answered by a stand-in with the same few series for all of them."
    )
    return Report("Assess", words, figures)


def _real(folder: Path, size: int) -> list[Figure]:
    hour = int(time.time()) // 3600 * 3600
    cluster = synthesize(hour - (14 * 24 + 1) * 3600, 14 * 24 + 3, nodes=size, pods=4)
    server = Prometheus(folder / "prometheus")
    write_openmetrics(cluster, folder / "use.txt", 120)
    server.fill(folder / "use.txt")
    (folder / "use.txt").unlink()
    (folder / "api").mkdir()
    with ApiServer(folder / "api") as api, server:
        rest = Rest(kubeconfig(str(api.kubeconfig)))
        api.kubectl("create", "namespace", "shop")
        for thing, status in objects(cluster):
            resource, namespace = (NODES, "") if thing["kind"] == "Node" else (PODS, "shop")
            rest.create(resource.path(namespace=namespace), thing)
            rest.patch(resource.path(thing["metadata"]["name"], namespace=namespace, sub="status"), {"status": status})
        rest.close()
        return _timed(folder, size, api.kubeconfig, server.url, None)


def _stand_in(folder: Path, size: int) -> list[Figure]:
    (folder / "api").mkdir()
    with Cluster(folder / "api", size, PODS_EACH) as cluster, StandIn(size, PODS_EACH) as server:
        return _timed(folder, size, cluster.api.kubeconfig, server.url, server)


def _timed(folder: Path, size: int, config: Path, url: str, server: StandIn | None) -> list[Figure]:
    argv = [sys.executable, "-m", "colocation", "assess", f"--kubeconfig={config}", f"--prometheus={url}", "-o", "json"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "XDG_CACHE_HOME": str(folder / "cache")}
    began, most, used = time.monotonic(), 0.0, os.times()
    before = used.children_user + used.children_system
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(argv, stdout=out, stderr=err, env=environment)
        while process.poll() is None:
            most = max(most, tree_mib(process.pid))
            time.sleep(0.5)
    seconds = time.monotonic() - began
    used = os.times()
    cpu = used.children_user + used.children_system - before
    assert process.returncode == 0, (folder / "err").read_text()[-2000:]
    document = json.loads((folder / "out").read_bytes())
    assert document["nodesReplayed"] == size
    kept = sum(file.stat().st_size for file in (folder / "cache").rglob("*.gz"))
    note = "real Prometheus" if server is None else "stand-in for Prometheus"
    load = f"{note}; load {os.getloadavg()[0]:.1f}"
    made = [
        figure(f"assess-{size}-nodes-seconds", seconds, "s", most=GOALS.get(size), note=load),
        figure(f"assess-{size}-nodes-cpu-seconds", cpu, "s", note=f"{note}; the command and its workers"),
        figure(f"assess-{size}-nodes-memory", most, "MiB", most=MIB.get(size), note=f"{note}; all processes"),
        figure(f"assess-{size}-nodes-cache", kept / 2**20, "MiB", note=f"{note}; answers on disk, compressed"),
    ]
    if server is not None:
        made.append(figure(f"assess-{size}-nodes-read", server.bytes_sent() / 2**20, "MiB", note=note))
    return made


def tree_mib(pid: int) -> float:
    """Proportional memory of a process and its children: pages that they share count once."""
    total = 0.0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, StopIteration):
            continue
    return total
