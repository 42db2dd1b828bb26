# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""What a verification does and how its findings are judged. Without I/O."""

from __future__ import annotations

import math
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import (
    API_GROUP,
    API_VERSION,
    BE_CPU,
    BE_MEMORY,
    GATE,
    QOS_ANNOTATION,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _state

JSON = t.Dict[str, t.Any]
NAMESPACE = "colocation-verify"
POLICY = "0-colocation-verify"
"""A name that sorts first, because it wins among policies of the same priority."""
MIB = 1 << 20
CPU, MEMORY = 200, 64
"""Requests and limits of a probe, millicores and MiB."""
PROBES = 2
TARGET, LOAD_PERCENT, LOAD_LEAST = 1, 2, 300
"""Under load, best-effort and online work together may use 1 % of the node, and the load alone is 2 %: nothing is left."""
LIVES = 600
"""Seconds after which a probe ends by itself, even if the play that started it was killed."""

SPIN = """
import time
at = time.monotonic()
while True:
    at += 0.5
    while time.monotonic() < at:
        pass
    print(time.monotonic(), time.process_time(), flush=True)
"""
TAKE = """
import time
time.sleep(8)
kept = []
for _ in range(40):
    kept.append(b"x" * (4 << 20))
    time.sleep(0.25)
print("took", len(kept) * 4, "MiB", flush=True)
"""
LOAD = """
import os, sys
kept = b"x" * (int(sys.argv[2]) << 20)
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
while True:
    pass
"""


def pick(rows: t.Sequence[JSON], wanted: t.Collection[str]) -> tuple[JSON | None, str]:
    """The node to probe: one without best-effort pods, of these the one that publishes most; else any with headroom."""
    fits = [
        row
        for row in rows
        if row["node"] in wanted
        and row["open"]
        and (row["cpu"]["published"] or 0) - row["cpu"]["allocated"] >= PROBES * CPU
        and (row["memory"]["published"] or 0) - row["memory"]["allocated"] >= PROBES * MEMORY * MIB
    ]
    if not fits:
        return None, f"no node is open and has {PROBES * CPU}m of be-cpu and {PROBES * MEMORY} MiB of be-memory left"
    best = min(fits, key=lambda row: (row["bePods"] > 0, -(row["cpu"]["published"] or 0), row["node"]))
    if best["bePods"]:
        return best, "every node with headroom runs other best-effort pods, which a sandbox would squeeze and evict too"
    return best, ""


def sandbox(spec: JSON, hostname: str, **changes: JSON) -> JSON:
    """A policy for one node: as its own, but that only the probes fit, that nothing else decides, and ``changes``."""
    base = {key: value for key, value in spec.items() if key != "rollout"}
    oversell = {**(spec.get("oversell") or {}), "maxPods": PROBES}
    wanted: JSON = {
        **base,
        "priority": 1000,
        "nodeSelector": {"matchLabels": {"kubernetes.io/hostname": hostname}},
        "oversell": oversell,
        # Reports at once, so that it is over soon.
        "report": {"intervalSeconds": 5, "minIntervalSeconds": 1, "changePercent": 1},
        "suppress": {"cpu": {"mode": "auto", "targetPercent": 100, "minPercent": 0}},
        **changes,
    }
    body = {"apiVersion": f"{API_GROUP}/{API_VERSION}", "kind": "ColocationPolicy", "metadata": {"name": POLICY}}
    return {**body, "spec": wanted}


SQUEEZED: JSON = {"suppress": {"cpu": {"mode": "auto", "targetPercent": TARGET, "minPercent": 0}}}
FULL: JSON = {"evict": {"memory": {"highPercent": 2, "lowPercent": 1}}}
"""Nearly every node uses more than 2 % of its memory; one that does not is helped by the online pod."""
FILL_MOST = 512


def load_of(capacity: int) -> int:
    """Millicores of online load for a node of this capacity."""
    return max(LOAD_LEAST, math.ceil(capacity * LOAD_PERCENT / 100))


def fill_of(memory: JSON) -> int | None:
    """MiB that the online pod has to hold for the node to be above its mark; None if that is too much for a probe."""
    missing = memory["capacity"] * 3 // 100 - (memory["used"] or 0)
    return None if missing > FILL_MOST * MIB else max(0, -(-missing // MIB))


def pod(name: str, hostname: str, agent: JSON, script: str, *args: str, online: int = 0, mib: int = MEMORY) -> JSON:
    """A probe from the agent's image, which the node has. ``online``: millicores of an online one instead."""
    spec = agent["spec"]["template"]["spec"]
    cpu, memory = f"{online or CPU}m", f"{mib}Mi"
    amounts = {"cpu": cpu, "memory": memory}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {} if online else {QOS_ANNOTATION: "BE"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": LIVES,
            "automountServiceAccountToken": False,
            "nodeSelector": {"kubernetes.io/hostname": hostname},
            "tolerations": spec.get("tolerations") or [],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": spec["containers"][0]["image"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", script, *args],
                    "resources": {"requests": amounts, "limits": amounts},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def admitted(pod: JSON) -> str | None:
    """What is wrong with a best-effort pod as the API server made it."""
    resources = pod["spec"]["containers"][0].get("resources") or {}
    for part in ("requests", "limits"):
        answer = resources.get(part) or {}
        if _state.whole(answer.get(BE_CPU)) != CPU or _state.whole(answer.get(BE_MEMORY)) != MEMORY * MIB or GATE not in answer:
            return f"its {part} are {answer or 'none'}: it was not admitted as best-effort"
    if pod["spec"].get("priorityClassName") != "priority-be":
        return f"its priority class is {pod['spec'].get('priorityClassName')}"
    return None


def stuck(pod: JSON) -> str:
    """Why a pod does not run, as its conditions and containers say."""
    status = pod.get("status") or {}
    answer = [f"{c.get('reason')}: {c.get('message')}" for c in status.get("conditions") or [] if c.get("status") == "False"]
    waits = [(s.get("state") or {}).get("waiting") or {} for s in status.get("containerStatuses") or []]
    result = [f"{w.get('reason')} {w.get('message', '')}".strip() for w in waits if w]
    return "; ".join(result or answer) or f"it is {status.get('phase', 'not there')}"


def rate(log: str, seconds: float) -> float | None:
    """Cores that a probe used in the last seconds of its log; None if that is not known yet."""
    rows = []
    for line in log.splitlines():
        fields = line.split()
        if len(fields) == 2:
            rows.append((float(fields[0]), float(fields[1])))
    if len(rows) < 2:
        return None
    last = rows[-1]
    first = next((row for row in rows if row[0] >= last[0] - seconds - 0.3), last)
    if last[0] - first[0] < seconds * 0.6:
        return None
    return (last[1] - first[1]) / (last[0] - first[0])


def killed(pod: JSON) -> str | None:
    """How a pod that takes more memory than it may ended; None while it runs."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        ended = (status.get("state") or {}).get("terminated")
        if ended:
            return "killed" if ended.get("exitCode") == 137 else f"ended with {ended.get('exitCode')} ({ended.get('reason')})"
    return None


def lines(claims: t.Iterable[JSON]) -> list[str]:
    """A claim a line, as people read it."""
    marks = {True: "PASS", False: "FAIL", None: "not tried"}
    return [f"{marks[c['passed']]}: {c['claim']}. {c['words']}" for c in claims]
