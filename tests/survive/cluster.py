"""Pods and policy for the tests, and what a pod's group holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .machine import Machine

SPIN = ["sh", "-c", "while true; do :; done"]
SLEEP = ["sleep", "100000"]
BE_CPU, BE_MEMORY = "kubernetes.io/be-cpu", "kubernetes.io/be-memory"
LIMIT_MILLICORES, LIMIT_BYTES = 100, 48 << 20
POLICY = {
    "oversell": {
        "cpu": {"strategy": "usage", "reclaimPercent": 100, "quantum": "1m"},
        "memory": {"strategy": "usage", "reclaimPercent": 100},
        "growAfterSeconds": 0,
        "staleAfterSeconds": 600,  # tests stop the agent, and start pods meanwhile
    },
    "report": {"intervalSeconds": 5, "minIntervalSeconds": 1, "changePercent": 3},
    "suppress": {"cpu": {"targetPercent": 60}},
}
KNOBS = {
    1: ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "cpu.idle", "memory.limit_in_bytes"),
    2: ("cpu.max", "cpu.weight", "cpu.idle", "memory.max", "memory.high", "memory.low", "io.weight", "io.max"),
}
"""Everything that the agent could write to, and kubelet's own values beside it."""
COUNTERS = ("cpuacct.usage", "cpu.stat", "memory.usage_in_bytes", "memory.current", "memory.stat")
"""What the agent reads of a group, on v1 and v2."""


def busy(machine: Machine) -> list[str]:
    """What a pod does. Emulated, next to nothing: what spins there is taken from kubelet and sshd."""
    return SPIN if machine.version == 1 else ["sh", "-c", "while true; do sleep 1; done"]


def policy(machine: Machine, *, enabled: bool = True, protect: Mapping[str, Any] | None = None) -> None:
    """The one policy."""
    body = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "ColocationPolicy"}
    spec = {**POLICY, "enabled": enabled, **({"protect": protect} if protect else {})}
    machine.apply({**body, "metadata": {"name": "default"}, "spec": spec})


def enforced(machine: Machine) -> tuple[str, str]:
    """(status, message) of the condition Enforced."""
    rows = machine.get("ncol", machine.name)["status"]["conditions"]
    return next((row["status"], row["message"]) for row in rows if row["type"] == "Enforced")


def pod(machine: Machine, name: str, command: list[str] = SLEEP, *, kind: str = "BE") -> dict[str, Any]:
    """A pod on the machine. ``kind``: BE; plain (Kubernetes' BestEffort, not ours); critical (as kube-proxy); LS.

    Bound by name and asking for be-* itself: there need be neither scheduler nor admission.
    """
    resources: dict[str, Any] = {}
    meta: dict[str, Any] = {"name": name, "namespace": "kube-system" if kind == "critical" else "default"}
    if kind == "BE":
        meta["annotations"] = {"openfuyao.com/qos-level": "BE"}
        limits = {BE_CPU: str(LIMIT_MILLICORES), BE_MEMORY: str(LIMIT_BYTES)}
        resources = {"requests": {BE_CPU: "10", BE_MEMORY: str(1 << 20)}, "limits": limits}
    elif kind == "LS":
        resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    spec: dict[str, Any] = {
        "nodeName": machine.name,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "localhost/busybox:1", "command": command, "resources": resources}],
    }
    if kind == "critical":
        spec["priorityClassName"] = "system-node-critical"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def running(machine: Machine, *names: str, namespace: str = "default") -> dict[str, str]:
    """Wait until these pods run; their uids by name."""
    path = r'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.status.phase}{"\n"}{end}'

    def look() -> dict[str, str]:
        answer = machine.kubectl("get", "pods", "-n", namespace, "-o", path)
        rows = [line.split() for line in answer.splitlines()]
        found = {row[0]: row[1] for row in rows if row[0] in names and row[2:] == ["Running"]}
        return found if len(found) == len(names) else {}

    found: dict[str, str] = machine.eventually(look, 60, f"{', '.join(names)} run")
    return found


def values(machine: Machine) -> dict[str, dict[str, str]]:
    """uid -> knob -> value, of every pod's group there is on the machine."""
    tests = " -o ".join(f"-name {name}" for name in KNOBS[machine.version])
    find = f"cd /sys/fs/cgroup && find . -path '*kubepods*pod*' \\( {tests} \\) -exec grep -sH . {{}} +; true"
    found: dict[str, dict[str, str]] = {}
    for line in machine.ssh(find).splitlines():
        path, _, value = line.partition(":")
        group, _, knob = path.rpartition("/")
        name = group.rpartition("/")[2].removesuffix(".slice")
        if name.rpartition("-pod")[1]:
            uid = name.rpartition("-pod")[2].replace("_", "-")
        elif name.startswith("pod"):
            uid = name.removeprefix("pod")
        else:
            continue  # a container's
        found.setdefault(uid, {})[knob] = value
    return found


def throttled(machine: Machine, uid: str) -> int:
    """How often a quota held the pod back so far."""
    forms = f"'*pod{uid}' -o -name '*pod{uid.replace('-', '_')}.slice'"
    find = (
        f"cd /sys/fs/cgroup && find . -maxdepth 5 -type d \\( -name {forms} \\) -exec cat {{}}/cpu.stat \\; 2>/dev/null"
    )
    lines = [line.split() for line in machine.ssh(f"{find}; true").splitlines()]
    return max(int(row[1]) for row in lines if row[0] == "nr_throttled")


def limited(knobs: Mapping[str, str]) -> bool:
    """A best-effort pod's group holds all that it should: a quota within its limit, its memory limit, idle."""
    if "cpu.max" in knobs:
        quota, period = knobs["cpu.max"].split()
        memory = knobs["memory.max"]
    else:
        quota, period, memory = knobs["cpu.cfs_quota_us"], knobs["cpu.cfs_period_us"], knobs["memory.limit_in_bytes"]
    if not quota.isdigit() or memory != str(LIMIT_BYTES) or knobs["cpu.idle"] != "1":
        return False
    return int(quota) * 1000 <= LIMIT_MILLICORES * int(period)


def free(knobs: Mapping[str, str]) -> bool:
    """As kubelet makes a best-effort pod's group."""
    if "cpu.max" in knobs:
        plain = (knobs["cpu.max"].split()[0], knobs["memory.max"], knobs["cpu.idle"], knobs["cpu.weight"])
        return plain == ("max", "max", "0", "1")
    whole = int(knobs["memory.limit_in_bytes"]) >= 1 << 62
    return (knobs["cpu.cfs_quota_us"], knobs["cpu.idle"], knobs["cpu.shares"]) == ("-1", "0", "2") and whole


def loosen(machine: Machine) -> None:
    """Somebody takes all best-effort pods' quotas away."""
    if machine.version == 1:
        files, value = "cpu/kubepods/besteffort/pod*/cpu.cfs_quota_us", "-1"
    else:
        files, value = "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod*.slice/cpu.max", "max"
    machine.ssh(f"cd /sys/fs/cgroup; for f in {files}; do echo {value} > $f; done")


@contextmanager
def spoilt(machine: Machine, *uids: str) -> Iterator[None]:
    """Garbage is mounted over the counters of these pods' groups, and over the CPU counter of the root's."""
    names = " -o ".join(f"-name {name}" for name in COUNTERS)
    pods = " -o ".join(f"-path '*pod{form}*'" for uid in uids for form in (uid, uid.replace("-", "_")))
    root = "-maxdepth 2 -name cpuacct.usage" if machine.version == 1 else "-maxdepth 1 -name cpu.stat"
    find = f"find /sys/fs/cgroup {root}; find /sys/fs/cgroup \\( {pods} \\) \\( {names} \\)"
    mount = f"echo garbage > /run/garbage; {{ {find}; }} > /run/spoilt; wc -l < /run/spoilt"
    mount += "; while read -r f; do mount --bind /run/garbage $f; done < /run/spoilt"
    try:
        assert int(machine.ssh(mount)) > len(uids) * (3 if machine.version == 1 else 2), "not all were found"
        yield
    finally:
        machine.ssh("while read -r f; do umount -l $f; done < /run/spoilt")


def clear(machine: Machine) -> None:
    """No pods of ours are left, in the API and on the machine."""
    for namespace in ("default", "kube-system"):
        machine.kubectl("delete", "pods", "-n", namespace, "--all", "--grace-period=0", "--force")
    # after an outage kubelet's watches wait up to 60 s (client-go's reflector: 30 s and as much jitter)
    machine.eventually(lambda: not values(machine), 180, "all pods' groups are gone")
