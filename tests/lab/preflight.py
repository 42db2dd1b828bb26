# SPDX-License-Identifier: Apache-2.0
"""Can a lab run here? Asked before anything is changed, answered all at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import network
from .config import CGROUPS, Lab, cache_dir
from .errors import LabError

GIB = 1024**3
NEED_MEMORY = 3 * GIB
NEED_DISK = 6 * GIB
# Bits of CapEff in /proc/self/status.
_CAPABILITIES = {12: "CAP_NET_ADMIN", 18: "CAP_SYS_CHROOT", 21: "CAP_SYS_ADMIN", 27: "CAP_MKNOD"}
_HIERARCHIES = ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "systemd")
_STILL_WORKS = "`make unit` and the component tests (a real API server, no nodes) still work here"


def check(lab: Lab) -> None:
    """Raise a LabError that lists everything in the way."""
    if os.geteuid() != 0:
        raise LabError(f"the lab boots machines: run it as root (sudo). Without root, {_STILL_WORKS}.")
    troubles = [*_machine(), *_resources(lab), *_names(lab)]
    if troubles:
        raise LabError("\n".join(["the lab cannot run on this machine:", *(f"  - {trouble}" for trouble in troubles)]))


def _machine() -> Iterator[str]:
    missing = missing_capabilities(Path("/proc/self/status").read_text())
    cannot = [f"capability {name} is missing" for name in missing]
    if not missing and shutil.which("unshare"):
        unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
        tried = subprocess.run(unshare, capture_output=True, text=True, check=False)
        if tried.returncode:
            cannot.append(f"new namespaces are refused ({tried.stderr.strip()})")
    if missing_hierarchies := [name for name in _HIERARCHIES if not (CGROUPS / name).is_dir()]:
        if (CGROUPS / "cgroup.controllers").exists():
            cannot.append("the host has cgroup v2 only; the lab's machines are proven on cgroup v1 and hybrid hosts")
        else:
            cannot.append(f"no cgroup hierarchy {', '.join(missing_hierarchies)} below {CGROUPS}")
    else:
        read_only = [name for name in _HIERARCHIES if os.statvfs(CGROUPS / name).f_flag & os.ST_RDONLY]
        if read_only:
            cannot.append(f"cgroup hierarchies are read-only: {', '.join(read_only)}")
    for reason in cannot:
        yield f"{reason}; {_STILL_WORKS}"


def missing_capabilities(status: str) -> list[str]:
    """Names of the needed capabilities this process lacks, from the text of its status file."""
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    held = int(line.split()[1], 16)
    return [name for bit, name in _CAPABILITIES.items() if not held >> bit & 1]


def available_memory(meminfo: str) -> int:
    """MemAvailable in bytes."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _resources(lab: Lab) -> Iterator[str]:
    free = available_memory(Path("/proc/meminfo").read_text())
    if free < NEED_MEMORY:
        yield f"memory: {free / GIB:.1f} GiB available, {NEED_MEMORY / GIB:.0f} GiB needed"
    for what, wanted in (("clone", lab.clone), ("cache", cache_dir())):
        folder = next(path for path in (wanted, *wanted.parents) if path.exists())
        space = shutil.disk_usage(folder).free
        if space < NEED_DISK:
            yield f"disk: {space / GIB:.1f} GiB free for the {what} ({folder}), {NEED_DISK / GIB:.0f} GiB needed"


def _names(lab: Lab) -> Iterator[str]:
    advice = "set LAB_ID to another number (0 to 99)"
    if taken := network.namespaces(lab):
        yield (
            f"network namespace {', '.join(taken)} exists and this clone did not make it: a lab of another clone? "
            f"Stop it there, or {advice}; `python3 -m tests.lab down --force` takes away what nobody owns"
        )
    elif shutil.which("ip") and (reason := network.conflict(lab)):
        yield f"subnet {lab.subnet} is in use: {reason}; {advice}"
    elif Path("/sys/class/net", lab.veth).exists():
        yield f"a network interface {lab.veth} exists; {advice}"
