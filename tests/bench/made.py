# SPDX-License-Identifier: Apache-2.0
"""Made objects of the size that real ones have: Nodes of about 12 KB, Pods of about 4 KB, reports of 6 KB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

GI = 2**30
PADDING = "x" * 180
POLICY: dict[str, Any] = {
    "apiVersion": "colocation.openfuyao.com/v1alpha1",
    "kind": "ColocationPolicy",
    "metadata": {"name": "bench"},
    # Made agents report when a bench says so, not once a minute: none of them is to fall silent meanwhile.
    "spec": {"oversell": {"staleAfterSeconds": 3600}},
}


def uid(on: int, number: int) -> str:
    """A UID for the thing of that number on a node."""
    return f"{on:08x}-0000-4000-8000-{number:012x}"


def stamp(later: float = 0.0) -> str:
    """An agent's clock, now or some seconds later."""
    return (datetime.now(UTC) + timedelta(seconds=later)).isoformat().replace("+00:00", "Z")


def node_name(number: int) -> str:
    """Names sort like numbers."""
    return f"node-{number:05d}"


def node(number: int) -> dict[str, Any]:
    """A labelled Node of 64 cores and 256Gi with 40 images."""
    name = node_name(number)
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "250", "ephemeral-storage": "800Gi", "hugepages-2Mi": "0"}
    images = [{"names": [f"registry.example/{n}/{PADDING}:v1"], "sizeBytes": n * 10**6} for n in range(40)]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": f"zone-{number % 3}",
                "node.openfuyao.com/colocation": "true",
            },
            "annotations": {f"example.com/annotation-{n}": PADDING for n in range(8)},
        },
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {
            "capacity": amounts,
            "allocatable": {**amounts, "cpu": "63500m", "memory": "250Gi"},
            "images": images,
        },
    }


def pod(number: int, on: int) -> dict[str, Any]:
    """A bound pod: one in five best-effort, the others online, one in ten of them exclusive."""
    be = number % 5 == 4
    qos = "BE" if be else "HLS" if number % 10 == 0 else "LS"
    wanted = (
        {"kubernetes.io/be-cpu": "500", "kubernetes.io/be-memory": str(GI)} if be else {"cpu": "500m", "memory": "1Gi"}
    )
    env = [{"name": f"SETTING_{n}", "value": PADDING} for n in range(12)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"workload-{on:05d}-{number:03d}",
            "namespace": "default",
            "labels": {"app": f"app-{number}", "pod-template-hash": "5d8f9c7b4d"},
            "annotations": {"openfuyao.com/qos-level": qos},
        },
        "spec": {
            "nodeName": node_name(on),
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "main", "image": "i", "env": env, "resources": {"requests": wanted, "limits": wanted}}
            ],
        },
    }


def report(stamp: str, uids: list[str], system: int = 2000, shift: int = 0) -> dict[str, Any]:
    """A report as the agent writes it: all use about half their request; with ``shift`` each off by itself."""
    off = [(i * 7919 + shift * 104_729) % 15 - 7 if shift else 0 for i in range(len(uids))]
    rows = [
        {
            "uid": uid,
            "cpu": 200 + i + off[i],
            "cpuPeak": 350 + off[i],
            "memory": GI // 2 + off[i] * 4096,
            "memoryPeak": GI // 2 + off[i] * 4096,
        }
        for i, uid in enumerate(uids)
    ]
    used = {"cpu": system + 250 * len(uids), "memory": 8 * GI + len(uids) * GI // 2}
    return {
        "observedAt": stamp,
        "windowSeconds": 60,
        "agentVersion": "bench",
        "node": used,
        "system": {"cpu": system, "cpuPeak": system, "memory": 8 * GI, "memoryPeak": 8 * GI},
        "pods": rows,
        "pressure": {"cpu": 0.5, "memory": 0.0, "io": 0.1},
        "engine": {"mode": "idle+quota", "cpuQuota": 20000, "cpuUsed": 500, "memoryUsed": GI},
    }
