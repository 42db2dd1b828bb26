"""One resctrl group for all best-effort tasks. It is the kernel's own tree, beside that of the cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from colocation.node.journal import RESCTRL, Entry, group_of
from colocation.node.probe import whole_bandwidth
from colocation.protect.cache import Hardware

NAME = "colocation-be"


def entry(boot: str) -> Entry:
    """What the journal knows the group by."""
    return Entry(path=NAME, old="", uid="", group=0, boot=boot, kind=RESCTRL)


def hardware(cgroup_root: str) -> Hardware:
    """What can be shared out here. Raises OSError or ValueError where resctrl is not what it should be."""
    root = Path(group_of(cgroup_root))
    domains, schemata = {}, (root / "schemata").read_text(encoding="ascii")
    for line in schemata.splitlines():
        name, _, rest = line.strip().partition(":")
        domains[name] = tuple(part.partition("=")[0].strip() for part in rest.split(";"))
    cache = next((name for name in domains if name.startswith("L3")), "L3")
    return Hardware(
        domains=domains,
        ways=int(_info(root, cache, "cbm_mask", "0"), 16).bit_count(),
        least_ways=int(_info(root, cache, "min_cbm_bits", "1")),
        bandwidth=whole_bandwidth(schemata),
        least_bandwidth=int(_info(root, "MB", "min_bandwidth", "10")),
        bandwidth_step=int(_info(root, "MB", "bandwidth_gran", "10")),
    )


def hold(cgroup_root: str, lines: Sequence[str], groups: Iterable[str]) -> int:
    """Make the group, if need be, have it hold these lines, and bring the tasks of these directories into it.

    Returns how many writes it took. Raises OSError (ENOSPC: all classes of service are taken).
    """
    group = Path(group_of(cgroup_root, NAME))
    group.mkdir(exist_ok=True)
    there = {_plain(line) for line in _lines(group / "schemata")}
    missing = [line for line in lines if _plain(line) not in there]
    for line in missing:
        _write(group / "schemata", line)
    return len(missing) + _move(group / "tasks", groups)


def _move(path: Path, groups: Iterable[str]) -> int:
    known, moved = set(_lines(path)), 0
    for task in _tasks(groups):
        if task == "0":
            raise PermissionError(1, "tasks are in another pid namespace (agent.resctrl in the chart sets hostPID)")
        if task not in known:
            try:
                _write(path, task)
            except ProcessLookupError:  # it ended meanwhile
                continue
            moved += 1
    return moved


def _tasks(groups: Iterable[str]) -> Iterable[str]:
    for group in groups:
        for directory, _, files in os.walk(group):
            yield from _lines(Path(directory) / ("tasks" if "tasks" in files else "cgroup.threads"))


def _plain(line: str) -> tuple[str, tuple[str, ...]]:
    """A line that can be compared: the kernel pads names with blanks, and masks with zeros."""
    name, _, rest = line.strip().partition(":")
    parts = (part.strip().partition("=") for part in rest.split(";"))
    return name, tuple(f"{domain}={value.lstrip('0')}" for domain, _, value in parts)


def _info(root: Path, resource: str, name: str, otherwise: str) -> str:
    return "".join(_lines(root / "info" / resource / name)) or otherwise


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split("\n")[:-1]
    except (OSError, UnicodeDecodeError):
        return []


def _write(path: Path, line: str) -> None:
    with path.open("a", encoding="ascii") as file:
        file.write(line + "\n")
