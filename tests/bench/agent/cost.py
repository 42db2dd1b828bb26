# SPDX-License-Identifier: Apache-2.0
"""What the agent itself takes: on a node with 30 real pods, and beside 250 made groups with no kubelet behind them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from colocation.model.report import BePod, Capacity, NodeColocationSpec, PolicyRef
from tests.bench.agent import pods
from tests.bench.agent.node import BenchNode
from tests.bench.process import cpu_seconds, resident_mib
from tests.lab.config import CGROUPS

PODS: Final = 30
MADE: Final = 250
SECONDS: Final = 61.0
SETTLE: Final = 20.0


class Cost(Struct):
    """Percent of one core, and MiB."""

    pods: int
    cpu: float
    resident: float


def on_node(node: BenchNode) -> Cost:
    """The agent as it was rolled out, with 30 pods of ours on its node, half of them best effort."""
    node.apply(*(pods.many(n, be=n % 2 == 0) for n in range(PODS)))
    node.kubectl("wait", "-n", pods.NAMESPACE, "pod", "-l", "app=many", "--for=condition=Ready", "--timeout=180s")
    time.sleep(SETTLE)
    try:
        return _watch(node.agent(), PODS)
    finally:
        node.kubectl("delete", "pod", "-n", pods.NAMESPACE, "-l", "app=many", "--wait=false", check=False)


def made() -> Cost:
    """An agent of its own on a made tree in the real hierarchies: 250 pods, half of them best effort, one busy."""
    with _tree() as root, tempfile.TemporaryDirectory() as state:
        spec = NodeColocationSpec(
            enabled=True,
            policy=PolicyRef(name="bench"),
            capacity=Capacity(cpu=64_000, memory=64 << 30),
            pods=tuple(
                BePod(uid=f"be{n}", cpu_request=100, cpu_limit=200, memory_limit=1 << 28) for n in range(MADE // 2)
            ),
        )
        kept = Path(state) / "state/spec.json"
        kept.parent.mkdir()
        kept.write_bytes(msgspec.json.encode(spec))
        config = Path(state) / "kubeconfig"
        config.write_text(_NOWHERE)
        options = [
            "--node",
            "made",
            "--cgroup-root",
            root,
            "--state-dir",
            state,
            "--kubeconfig",
            str(config),
            "--listen",
            "127.0.0.1:0",
        ]
        process = subprocess.Popen([sys.executable, "-m", "colocation", "agent", *options], stderr=subprocess.DEVNULL)
        try:
            time.sleep(SETTLE)
            return _watch(process.pid, MADE)
        finally:
            process.terminate()
            process.wait(10)


def _watch(pid: int, pods: int) -> Cost:
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(SECONDS)
    spent = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    return Cost(pods, 100 * spent, resident_mib(pid))


@contextmanager
def _tree() -> Iterator[str]:
    """A folder that looks like a node's /sys/fs/cgroup, over groups of our own in every hierarchy."""
    name = f"bench-agent-{os.getpid()}"
    controllers = [path for path in CGROUPS.iterdir() if path.is_dir() and path.name not in ("systemd", "unified")]
    with tempfile.TemporaryDirectory() as root:
        try:
            for top in controllers:
                base = top / name
                for n in range(MADE):
                    qos, pod = ("besteffort", f"podbe{n}") if n < MADE // 2 else ("burstable", f"podls{n}")
                    (base / "kubepods" / qos / pod / "sandbox").mkdir(parents=True)
                (Path(root) / top.name).symlink_to(base)
            yield root
        finally:
            for top in controllers:
                for path, _, _ in os.walk(top / name, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(path).rmdir()


_NOWHERE: Final = """\
apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters: [{name: x, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: x, user: {}}]
"""
