"""`make picture`: docs/pictures/explain.svg, the terminal of a person who asks a real manager about a real API server.

This script writes the node and its reports (no kubelet runs); the command line prints every line of the picture.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from colocation.kube.login import kubeconfig
from colocation.kube.rest import Rest
from reconciler.tests.component.cluster import GI, SOURCES, Cluster, crds
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/pictures/explain.svg"
LINES = 17
"""Lines of `colocation explain` that are shown: the head and the CPU half."""
_FAMILY = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
_FONT, _WIDTH, _HEIGHT, _EDGE = 14, 8.43, 20, 16
"""Font size, width of a character, height of a line and margin, pixels."""


def main() -> int:
    """Ask the manager, and write the picture."""
    with tempfile.TemporaryDirectory() as folder, ApiServer(Path(folder) / "api") as server:
        server.kubectl("apply", "-f", "-", stdin=crds())
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        server.kubectl("create", "namespace", "openfuyao-colocation")
        server.kubectl("create", "serviceaccount", "colocation-reader", "--namespace=openfuyao-colocation")
        rest = Rest(kubeconfig(str(server.kubeconfig)))
        cluster = Cluster(server, rest, Path(folder), 1)
        try:
            text = "\n".join(_answers(cluster))
        finally:
            cluster.close()
            rest.close()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(svg(text))
    print(f"wrote {PICTURE.relative_to(ROOT)}")
    return 0


def _answers(cluster: Cluster) -> list[str]:
    cluster.policy(
        "default",
        oversell={
            "growAfterSeconds": 0,
            "cpu": {"strategy": "usage", "reclaimPercent": 60},
            "memory": {"strategy": "usage", "reclaimPercent": 65},
        },
    )
    manager = cluster.manager()
    cluster.node("worker-1", "16", "64Gi")
    online = cluster.pod("shop", "worker-1", cpu="6", memory="20Gi")["metadata"]["uid"]
    eventually(lambda: cluster.ncol("worker-1")["spec"])
    cluster.report("worker-1", 2600, 13 * GI, **_usage({online: (2100, 11 * GI)}))
    time.sleep(3)
    batch = cluster.pod("nightly", "worker-1", be=(2000, 4 * GI), running=True)["metadata"]["uid"]
    cluster.report("worker-1", 4400, 16 * GI, **_usage({online: (2100, 11 * GI), batch: (1800, 3 * GI)}))
    time.sleep(3)
    command = [sys.executable, "-m", "colocation", "explain", "worker-1"]
    command += [f"--manager=http://127.0.0.1:{manager.port}", f"--kubeconfig={cluster.api.kubeconfig}"]
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    answer = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=True)
    return [f"$ colocation explain worker-1 | head -{LINES}", *answer.stdout.splitlines()[:LINES]]


def _usage(pods: dict[str, tuple[int, int]]) -> dict[str, Any]:
    rows = tuple({"uid": uid, "cpu": cpu, "memory": memory} for uid, (cpu, memory) in pods.items())
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"pods": rows, "system": {"cpu": 500, "memory": 2 * GI}, "observedAt": now}


def svg(text: str) -> str:
    """Text as a terminal window: light letters on a dark ground, the prompt's lines in another colour."""
    lines = text.splitlines()
    width = round(max(map(len, lines)) * _WIDTH + 2 * _EDGE)
    height = len(lines) * _HEIGHT + 2 * _EDGE
    rows = [
        f'<text x="{_EDGE}" y="{y}"{_colour(line)} xml:space="preserve">{escape(line)}</text>'
        for y, line in zip(range(_EDGE + _HEIGHT - 5, height, _HEIGHT), lines, strict=False)
    ]
    return "\n".join(
        [
            "<!-- SPDX-License-Identifier: Apache-2.0 -->",
            "<!-- Written by `make picture`: output of a real command. -->",
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">',
            f"<title>{escape(lines[0])}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f24"/>',
            f'<g font-family="{_FAMILY}" font-size="{_FONT}" fill="#e6edf3">',
            *rows,
            "</g>",
            "</svg>\n",
        ]
    )


def _colour(line: str) -> str:
    if line.startswith("$"):
        return ' fill="#7ee787"'
    return ' fill="#f2cc60" font-weight="bold"' if line.startswith("=") else ""


if __name__ == "__main__":
    sys.exit(main())
