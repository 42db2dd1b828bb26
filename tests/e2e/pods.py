"""Pods for the tests, from busybox: it is in every lab node already."""

from __future__ import annotations

from typing import Any

SPIN = ["sh", "-c", "while true; do :; done"]
SLEEP = ["sleep", "100000"]
HOLD = ["sh", "-c", "(head -c 300000000 /dev/zero; sleep 100000) | tail"]
"""tail keeps a line until it ends: 300 MB that are in use, and no page cache."""


def pod(
    name: str,
    node: str | None = None,
    *,
    qos: str | None = "BE",
    command: list[str] = SLEEP,
    cpu: str = "200m",
    limit: str = "300m",
    memory: str = "64Mi",
) -> dict[str, Any]:
    """A pod that asks for plain cpu and memory, as users do. ``node``: by selector, so that the scheduler binds."""
    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "c",
                "image": "localhost/busybox:1",
                "command": command,
                "resources": {"requests": {"cpu": cpu, "memory": "32Mi"}, "limits": {"cpu": limit, "memory": memory}},
            }
        ],
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    meta: dict[str, Any] = {"name": name, "namespace": "work"}
    if qos:
        meta["annotations"] = {"openfuyao.com/qos-level": qos}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
