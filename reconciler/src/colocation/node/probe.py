"""What this node's kernel and cgroups can do, tried rather than guessed.

Standard library only, Python 3.9 syntax, no import of ours: the same file is copied into the Ansible
collection, where it runs with the node's own Python. Every try happens in a group of our own, made below
kubelet's root (or the hierarchy's), and removed again; no group of anybody else is written to.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Collection, Dict, Iterator, List, Optional, Tuple

Features = Dict[str, Dict[str, Any]]
_KUBEPODS = re.compile(r"(?:.+-)?kubepods(?:\.slice)?")
_POD = re.compile(r"pod([0-9A-Za-z.-]+)|.*-pod([0-9A-Za-z_]+)\.slice")


def probe(cgroup_root: str = "/sys/fs/cgroup", proc_root: str = "/proc", *, try_writes: bool = True) -> Dict[str, Any]:
    """Return what was found; never raises for what is merely missing.

    With ``try_writes`` False nothing is made or written: a file that is there counts as available.

    ``{"kernel": str, "arch": str,
    "cgroup_version": 1 | 2 | 0 (no cgroups there),
    "cgroup_driver": "cgroupfs" | "systemd" | "" (no kubelet tree yet),
    "controllers": [str], "roots": {controller: absolute directory of its hierarchy},
    "pods_root": kubelet's tree relative to a hierarchy, "" if there is none,
    "pods": number of pods' groups in that tree, "pods_with_containers": of those, how many hold a container's group,
    "features": {name: {"available": bool, "reason": str}}}``

    Feature names: cpu.quota, cpu.burst, cpu.idle, cpu.qos_level, memory.limit, memory.high, memory.low, memory.reclaim,
    io.weight, io.throttle, psi.cgroup, psi.proc, resctrl, resctrl.bandwidth; and for rubik:
    memory.qos_level, memory.high_async_ratio, vm.memcg_qos_enable, net.qos, psi.v1, blkio.cost, perf.
    ``reason`` says what was seen.
    """
    version, roots = hierarchies(cgroup_root)
    base = roots.get("cpuacct") or roots.get("cpu", cgroup_root)
    pods = find_pods_root(base) if version else ""
    seen = pods_below(os.path.join(base, pods)) if pods else {}
    features = _try_cgroup(version, roots, cgroup_root, pods, _a_disk() if try_writes else "", try_writes=try_writes)
    features["psi.proc"] = _readable(os.path.join(proc_root, "pressure", "cpu"))
    features["resctrl"] = _resctrl(cgroup_root, proc_root, try_writes=try_writes)
    features["resctrl.bandwidth"] = _bandwidth(cgroup_root, features["resctrl"])
    features.update(_for_rubik(roots, pods, proc_root))
    names = os.uname()
    return {
        "kernel": names.release,
        "arch": names.machine,
        "cgroup_version": version,
        "cgroup_driver": driver_of(pods),
        "controllers": sorted(roots),
        "roots": roots,
        "pods_root": pods,
        "pods": len(seen),
        "pods_with_containers": sum(seen.values()),
        "features": features,
    }


def hierarchies(cgroup_root: str) -> Tuple[int, Dict[str, str]]:
    """Return (cgroup version or 0, {controller: directory}). v1 mounts several controllers as "cpu,cpuacct"."""
    declared = _read(os.path.join(cgroup_root, "cgroup.controllers"))
    if declared is not None:
        return 2, dict.fromkeys(declared.split(), cgroup_root)
    roots = {}  # type: Dict[str, str]
    for entry in _directories(cgroup_root):
        if entry in ("unified", "systemd"):
            continue
        for name in entry.split(","):
            # "cpu" may be a link to "cpu,cpuacct": either path will do.
            roots.setdefault(name, os.path.join(cgroup_root, entry))
    return (1 if "cpu" in roots or "memory" in roots else 0), roots


def find_pods_root(base: str, uids: Collection[str] = ()) -> str:
    """Kubelet's tree below ``base``, relative ("kubepods", "kubelet.slice/kubelet-kubepods.slice"); "" if none.

    Of several trees (kubelet leaves the old one behind when its cgroup driver is changed) the one that holds most
    containers of these pods, then of any pods; then the one nearest to ``base``.
    """
    trees = []  # type: List[str]
    level = [""]
    for _level in range(3):  # kubelet --cgroup-root puts groups above: one in kind, two by hand
        below = [os.path.join(parent, entry) for parent in level for entry in _directories(os.path.join(base, parent))]
        features = [path for path in below if _KUBEPODS.fullmatch(os.path.basename(path))]
        trees += features
        # Not into containers and services: a nested node's tree is not this node's.
        level = [path for path in below if path not in features and not path.endswith((".scope", ".service"))]
    if len(trees) < 2:
        return "".join(trees)

    def held(tree: str) -> Tuple[int, int]:
        pods = [uid for uid, populated in pods_below(os.path.join(base, tree)).items() if populated]
        return len(set(uids).intersection(pods)), len(pods)

    return max(trees, key=held)  # the first of equals


def pods_below(tree: str) -> Dict[str, bool]:
    """For each pod in kubelet's tree (an absolute directory), by uid: whether its group contains a container's."""
    features = {}  # type: Dict[str, bool]
    entries = _directories(tree)
    for qos in [""] + [name for name in entries if pod_uid(name) is None]:
        for name in _directories(os.path.join(tree, qos)) if qos else entries:
            uid = pod_uid(name)
            if uid is not None:
                features[uid] = bool(_directories(os.path.join(tree, qos, name)))
    return features


def pod_uid(name: str) -> Optional[str]:
    """The uid in a pod group's name, or None: "pod1a-2b", "kubepods-besteffort-pod1a_2b.slice"."""
    match = _POD.fullmatch(name)
    return None if match is None else match.group(1) or match.group(2).replace("_", "-")


def driver_of(pods_root: str) -> str:
    """Kubelet's cgroup driver as its directory name shows it."""
    if not pods_root:
        return ""
    return "systemd" if pods_root.endswith(".slice") else "cgroupfs"


def _try_cgroup(
    version: int, roots: Dict[str, str], cgroup_root: str, pods: str, disk: str, *, try_writes: bool
) -> Features:
    """Try each knob in a group of our own."""
    if version == 2:
        throttle = disk and disk + " rbps=1048576 wbps=max riops=max wiops=max"
        plan = {
            "cpu.quota": ("cpu", "cpu.max", "50000 100000", ""),
            "cpu.burst": ("cpu", "cpu.max.burst", "10000", "cpu.max"),
            "cpu.idle": ("cpu", "cpu.idle", "1", ""),
            "cpu.qos_level": ("cpu", "cpu.qos_level", "-1", ""),
            "memory.qos_level": ("memory", "memory.qos_level", "-1", ""),
            "memory.limit": ("memory", "memory.max", str(1 << 30), ""),
            "memory.high": ("memory", "memory.high", str(1 << 30), ""),
            "memory.low": ("memory", "memory.low", str(1 << 20), ""),
            "memory.reclaim": ("memory", "memory.reclaim", "0", ""),
            "io.weight": ("io", "io.weight", "default 50", ""),
            "io.throttle": ("io", "io.max", throttle, ""),
            "psi.cgroup": ("cpu", "cpu.pressure", "", ""),
        }
    else:
        plan = {
            "cpu.quota": ("cpu", "cpu.cfs_quota_us", "50000", ""),
            "cpu.burst": ("cpu", "cpu.cfs_burst_us", "10000", "cpu.cfs_quota_us"),
            "cpu.idle": ("cpu", "cpu.idle", "1", ""),
            "cpu.qos_level": ("cpu", "cpu.qos_level", "-1", ""),
            "memory.qos_level": ("memory", "memory.qos_level", "-1", ""),
            "memory.limit": ("memory", "memory.limit_in_bytes", str(1 << 30), ""),
            "memory.high": ("memory", "memory.high", str(1 << 30), ""),
            "memory.low": ("memory", "memory.low", str(1 << 20), ""),
            "memory.reclaim": ("memory", "memory.force_empty", "0", ""),
            "io.weight": ("blkio", "blkio.bfq.weight", "50", ""),
            "io.throttle": ("blkio", "blkio.throttle.read_bps_device", disk and disk + " 1048576", ""),
        }
    features = {}  # type: Features
    for controller in sorted({step[0] for step in plan.values()}):
        mine = {name: step[1:] for name, step in plan.items() if step[0] == controller}
        if controller not in roots:
            features.update({name: _no("controller {} is not there".format(controller)) for name in mine})
            continue
        if not try_writes:
            group = os.path.join(roots[controller], pods or _a_group(roots[controller]))
            features.update({name: _there(os.path.join(group, file)) for name, (file, *rest) in mine.items()})
            continue
        with _scratch(roots[controller], pods) as (mine_group, reason):
            for name, (file, value, first) in mine.items():
                features[name] = _try(mine_group, file, value, first) if mine_group else _no(reason)
    if "psi.cgroup" not in features:
        features["psi.cgroup"] = _readable(os.path.join(cgroup_root, "unified", "cpu.pressure"))
    return features


def _try(group: str, file: str, value: str, first: str) -> Dict[str, Any]:
    """Write ``value`` and read it back, if it can be read; an empty value: reading is enough (no disk to write of)."""
    path = os.path.join(group, file)
    if not os.path.exists(path):
        return _no("{} is not there".format(file))
    if not value:
        return _readable(path) if os.stat(path).st_mode & 0o444 else _there(path)
    try:
        if first:  # a burst is only accepted beside a quota
            _write(os.path.join(group, first), "50000 100000" if first == "cpu.max" else "50000")
        _write(path, value)
    except OSError as error:
        return _no("writing {} to {}: {}".format(value, file, error.strerror))
    if not os.stat(path).st_mode & 0o444:
        return {"available": True, "reason": "{} written".format(file)}
    seen = (_read(path) or "").strip()
    if seen.split("\n")[0] != value:
        return _no("{} took {} but reads {}".format(file, value, seen[:40]))
    return {"available": True, "reason": "{} written and read back".format(file)}


@contextlib.contextmanager
def _scratch(root: str, pods: str) -> Iterator[Tuple[Optional[str], str]]:
    """A group of our own below kubelet's tree or the root; (None, why) where it cannot be made."""
    reason = "no group could be made"
    for parent in ([os.path.join(root, pods)] if pods else []) + [root]:
        group = os.path.join(parent, "colocation-probe-{}".format(os.getpid()))
        try:
            os.mkdir(group)
        except OSError as error:
            reason = "making a group below {}: {}".format(parent, error.strerror)
            continue
        try:
            yield group, ""
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(group)
        return
    yield None, reason


def _for_rubik(roots: Dict[str, str], pods: str, proc_root: str) -> Features:
    """What openEuler's rubik needs beside the knobs above, found without a write."""
    paths = {
        "memory.high_async_ratio": os.path.join(roots.get("memory", "/nowhere"), pods, "memory.high_async_ratio"),
        "net.qos": os.path.join(proc_root, "qos", "net_qos_enable"),
        "perf": "/sys/bus/event_source/devices/cpu",
    }
    features = {name: _there(path) for name, path in paths.items()}
    features["psi.v1"] = _readable(os.path.join(roots.get("cpuacct", "/nowhere"), pods, "cpu.pressure"))
    switch = "vm/memcg_qos_enable"
    on = (_read(os.path.join(proc_root, "sys", switch)) or "").strip() == "1"
    features["vm.memcg_qos_enable"] = {"available": on, "reason": "{} is {}1".format(switch, "" if on else "not ")}
    cost = _there(os.path.join(roots.get("blkio", "/nowhere"), "blkio.cost.model"))
    if cost["available"] and "cgroup1_writeback" not in (_read(os.path.join(proc_root, "cmdline")) or ""):
        cost = _no("the kernel was started without cgroup1_writeback")
    features["blkio.cost"] = cost
    return features


def _a_group(root: str) -> str:
    """Any group below a hierarchy's root: its files show what groups have; the root itself has fewer in cgroup v2."""
    return next(iter(_directories(root)), "")


def _a_disk() -> str:
    """The major:minor of a disk to try a bound on; "" if there is none. Only our own, empty group is bound by it."""
    for name in _directories("/sys/block"):
        if os.path.exists("/sys/block/{}/device".format(name)):
            return (_read("/sys/block/{}/dev".format(name)) or "").strip()
    return ""


def _resctrl(cgroup_root: str, proc_root: str, *, try_writes: bool) -> Dict[str, Any]:
    root = os.path.join(os.path.dirname(cgroup_root.rstrip("/")), "resctrl")
    if os.path.exists(os.path.join(root, "schemata")):
        if not try_writes:
            return {"available": True, "reason": "mounted at {} (not tried)".format(root)}
        group = os.path.join(root, "colocation-probe-{}".format(os.getpid()))
        try:
            os.mkdir(group)
            os.rmdir(group)
        except OSError as error:  # ENOSPC: all classes of service are taken
            return _no("making a group below {}: {}".format(root, error.strerror))
        return {"available": True, "reason": "a group was made below {} and removed".format(root)}
    if "resctrl" in (_read(os.path.join(proc_root, "filesystems")) or ""):
        return _no("the kernel has resctrl, but it is not mounted at {}".format(root))
    return _no("the kernel has no resctrl, or the CPU has no cache allocation")


def _bandwidth(cgroup_root: str, resctrl: Dict[str, Any]) -> Dict[str, Any]:
    if not resctrl["available"]:
        return resctrl
    root = os.path.join(os.path.dirname(cgroup_root.rstrip("/")), "resctrl", "schemata")
    text = _read(root) or ""
    whole = whole_bandwidth(text)
    if whole:
        return {"available": True, "reason": "100 % is {} in {}".format(min(whole.values()), root)}
    if not re.search(r"^\s*MB:", text, re.MULTILINE):
        return _no("{} has no MB line".format(root))
    return _no("the root group has no limit in {}, and its unit is not percent".format(root))


def whole_bandwidth(schemata: str) -> Dict[str, int]:
    """What 100 % of memory bandwidth is, by domain, in the unit that resctrl takes; from the root group's schemata.

    Intel and MPAM take percent. AMD takes eighths of GB/s, and the mount option mba_MBps MB/s: there only a limit that
    the root group has been given is something to take a part of. A domain without one (AMD: 2048 or a larger power of
    two; mba_MBps: 2**32 - 1) is left out: what its memory can do is not known.
    """
    whole = {}
    for line in schemata.splitlines():
        name, _colon, rest = line.strip().partition(":")
        for part in rest.split(";") if name == "MB" else []:
            domain, _equals, text = part.partition("=")
            value = int(text) if text.strip().isdigit() else 0
            unlimited = value >= 2**32 - 1 or (value >= 2048 and value & (value - 1) == 0)
            if value and not unlimited:
                whole[domain.strip()] = max(100, value)
    return whole


def _there(path: str) -> Dict[str, Any]:
    name = os.path.basename(path)
    if not os.path.exists(path):
        return _no("{} is not there".format(name))
    return {"available": True, "reason": "{} is there (not tried)".format(name)}


def _readable(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            file.read(64)
    except OSError as error:  # PSI built in but switched off answers EOPNOTSUPP
        return _no("{}: {}".format(os.path.basename(path), error.strerror))
    return {"available": True, "reason": "{} can be read".format(os.path.basename(path))}


def _no(reason: str) -> Dict[str, Any]:
    return {"available": False, "reason": reason}


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _directories(path: str) -> List[str]:
    """Names of the directories in ``path`` (links included), sorted; [] where it cannot be listed."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return []
    return [name for name in names if os.path.isdir(os.path.join(path, name))]


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(probe(), indent=2, sort_keys=True) + "\n")
