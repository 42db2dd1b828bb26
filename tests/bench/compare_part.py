# SPDX-License-Identifier: Apache-2.0
"""One part of `compare`, in the tree that PYTHONPATH names: `python -P compare_part.py PART TREE` prints JSON.

It uses only what all trees since 8885d7c have under the same name: the modules of the programs, `tests.bench.warm`,
`tests.bench.cluster`, and the made node of the agent's own tests, which knows its tree's constructors.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

PODS, ROUNDS = 100, 60
NODES, PODS_EACH, MINUTES = 500, 30, 11
SERVED, SERVED_PODS, REPORTS, EACH_SECOND = 200, 10, 600, 100.0
PROGRAMS = {"agent": "colocation.cli.agent", "manager": "colocation.cli.manager"}
_IMPORT = """
import importlib, json, sys, time
importlib.import_module(sys.argv[1])
resident = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
print(json.dumps([int(resident.split()[1]) / 1024, len(sys.modules), 1000 * time.process_time()]))
"""


def imports(tree: Path) -> dict[str, float]:
    """What a process has after it imported a program: memory, modules, and the CPU that it took."""
    figures: dict[str, float] = {}
    for name, module in PROGRAMS.items():
        argv = [sys.executable, "-c", _IMPORT, module]
        done = subprocess.run(argv, cwd=tree, check=True, stdout=subprocess.PIPE)
        mib, modules, ms = json.loads(done.stdout)
        figures |= {f"{name}-import-mib": mib, f"{name}-import-modules": modules, f"{name}-import-ms": ms}
    return figures


def agent(tree: Path) -> dict[str, float]:
    """Rounds on a made tree; counters rise between them, not in the time that counts."""
    sys.path.insert(0, str(tree / "reconciler/tests/unit/agent"))
    has = (tree / "reconciler/tests/unit/agent/made_node.py").exists()
    helpers: Any = importlib.import_module("made_node" if has else "test_loop")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        node = helpers.Node(Path(folder))
        groups = _groups(node.root / "kubepods")
        first = helpers.SPEC.pods[0]
        pods = tuple(_changed(first, uid=f"be{n}", running=True) for n in range(1, 1 + PODS // 2))
        node.specs.emit(helpers.upsert(_changed(helpers.SPEC, pods=pods)))
        for turn in range(10):
            _use(groups, turn)
            node.rounds(1)
        assert node.values()[1:] == helpers.HELD[1:], f"it does not enforce: {node.values()}"
        used = 0.0
        for turn in range(10, 10 + ROUNDS):
            _use(groups, turn)
            used += _cpu(lambda: node.rounds(1))
        encoded = [_cpu(lambda: _encoded(node.loop.status())) for _ in range(20)]
    return {"agent-round-ms": 1000 * used / ROUNDS, "agent-write-ms": 1000 * sum(encoded) / len(encoded)}


def loop(tree: Path) -> dict[str, float]:
    """The manager's loop alone."""
    warm = importlib.import_module("tests.bench.warm").measure(NODES, PODS_EACH, MINUTES)
    timed = ("recompute", "scratch", "edit", "cold", "report")
    return {f"loop-{name}-ms": 1000 * getattr(warm, f"{name}_seconds") for name in timed} | {
        "loop-mib": warm.resident_mib,
        "loop-churned-mib": warm.churned_mib,
    }


def server(tree: Path) -> dict[str, float]:
    """The manager's process on a real API server with the tree's own CRDs, and agents that report."""
    helpers: Any = importlib.import_module("tests.bench.cluster")
    process_of: Any = importlib.import_module("tests.bench.process")
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        helpers.Cluster(Path(folder), SERVED, SERVED_PODS) as cluster,
        helpers.Watcher(cluster) as watcher,
    ):
        process = cluster.manager(0)
        try:
            watcher.wait_published(300)
            time.sleep(2)  # the last answers come in
            start, before = process_of.ended_too(process.pid), process_of.cpu_seconds(process.pid)
            began = time.monotonic()

            def report(number: int) -> None:
                time.sleep(max(0.0, began + number / EACH_SECOND - time.monotonic()))
                cluster.report(cluster.nodes[number % SERVED], shift=1 + number % 7)

            helpers.each(report, range(REPORTS))
            time.sleep(2)
            used = process_of.cpu_seconds(process.pid) - before
            resident = process_of.resident_mib(process.pid)
        finally:
            process.terminate()
            process.wait()
    return {"server-start-ms": 1000 * start, "server-report-ms": 1000 * used / REPORTS, "server-mib": resident}


def _groups(kubepods: Path) -> list[Path]:
    """The made node's two pods, and as many more as make up PODS, half of them best effort."""
    groups = []
    for n in range(1, 1 + PODS // 2):
        for group, like in ((f"besteffort/podbe{n}", "besteffort/podbe1"), (f"podonline{n}", "podonline1")):
            at, model = kubepods / group, kubepods / like
            (at / "sandbox").mkdir(parents=True, exist_ok=True)
            if at != model:
                for path in model.iterdir():
                    if path.is_file():
                        (at / path.name).write_text(path.read_text())
            groups.append(at)
    return groups


def _use(groups: list[Path], turn: int) -> None:
    """Every pod uses 100m, one in ten now and then more."""
    for at, group in enumerate(groups):
        usec = 100_000 * turn + (50_000 if at % 10 == turn % 10 else 0)
        (group / "cpu.stat").write_text(f"usage_usec {usec}\nnr_throttled 0\n")


def _changed(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **{k: v for k, v in fields.items() if k in struct.__struct_fields__})


def _encoded(status: Any) -> bytes:
    return msgspec.json.encode(status)


def _cpu(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


if __name__ == "__main__":
    tree = Path(sys.argv[2])
    ours = importlib.import_module("colocation").__file__
    assert ours is not None, "colocation has no file"
    assert Path(ours).is_relative_to(tree), f"{ours} is not of {tree}"
    parts = {"imports": imports, "agent": agent, "loop": loop, "server": server}
    print(json.dumps(parts[sys.argv[1]](tree)))
