# SPDX-License-Identifier: Apache-2.0
"""A machine's own sub-group in every cgroup v1 hierarchy, ``colab<ID>/<node>``."""

from __future__ import annotations

from pathlib import Path

from .config import CGROUPS, HIERARCHIES, Lab, Node


def hierarchies() -> list[Path]:
    """Those of the host that exist."""
    return [CGROUPS / name for name in HIERARCHIES if (CGROUPS / name).is_dir()]


def make(lab: Lab, node: Node) -> list[Path]:
    """Make the sub-groups; returns the files a process joins them by."""
    joins = []
    for top in hierarchies():
        group = top / lab.hub / node.name
        group.mkdir(parents=True, exist_ok=True)
        if top.name == "cpuset":
            # A fresh cpuset is empty and takes no process.
            for each in (group.parent, group):
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (each / file).write_text((top / file).read_text())
        if top.name == "memory":
            (group / "memory.limit_in_bytes").write_text(str(lab.mem_kb * 1024))
        joins.append(group / "cgroup.procs")
    return joins


def members(lab: Lab) -> list[int]:
    """Processes that still live in this lab's groups."""
    found: set[int] = set()
    for top in hierarchies():
        for file in (top / lab.hub).rglob("cgroup.procs"):
            try:
                found.update(int(line) for line in file.read_text().split())
            except OSError:
                continue
    return sorted(found)


def remove(lab: Lab) -> list[Path]:
    """Remove the sub-groups, leaves first; returns those that would not go."""
    stuck = []
    for top in hierarchies():
        parent = top / lab.hub
        groups = [path for path in parent.rglob("*") if path.is_dir()] if parent.is_dir() else []
        if parent.is_dir():
            groups.append(parent)
        for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
            try:
                group.rmdir()
            except OSError:
                stuck.append(group)
    return stuck
