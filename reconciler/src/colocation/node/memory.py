"""The two quantities of memory, of a group and of the whole machine, on cgroup v1 and v2."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from colocation.node.files import field, number
from colocation.protect.sample import Unavailable, Use


class Memory(Struct, frozen=True, gc=False):
    """What was read of one group, or of the machine; None: not available, never 0."""

    use: Use | None = None
    unavailable: Unavailable | None = None


NOTHING: Final = Memory()
_INACTIVE: Final = (b"total_inactive_file ", b"inactive_file ")
_ACTIVE: Final = (b"total_active_file ", b"active_file ")
"""On v1 and v2; the plain lines of v1 leave out the groups below."""


def of_machine(meminfo: bytes | None) -> Memory:
    """From /proc/meminfo: page cache that is active counts in the one quantity and not in the other."""
    total, free = line(meminfo, b"MemTotal:"), line(meminfo, b"MemFree:")
    inactive, available = line(meminfo, b"Inactive(file):"), line(meminfo, b"MemAvailable:")
    swapped = swapped_out(meminfo)
    return Memory(
        use=None
        if total is None or free is None or inactive is None or swapped is None
        else Use(max(0, total - free - inactive) + swapped),
        unavailable=None if total is None or available is None else Unavailable(max(0, total - available)),
    )


def of_group(charged: int | None, stat: bytes | None, swapped: int | None, *, v2: bool) -> Memory:
    """From what a group is charged with, its memory.stat, and how much of it is swapped out."""
    inactive, active = field(stat, _INACTIVE[v2]), field(stat, _ACTIVE[v2])
    if charged is None or inactive is None:
        return NOTHING
    reclaimable = (field(stat, b"slab_reclaimable ") or 0) if v2 else 0  # v1 does not say
    return Memory(
        use=None if swapped is None else Use(max(0, charged - inactive) + swapped),
        unavailable=None if active is None else Unavailable(max(0, charged - inactive - active - reclaimable)),
    )


def swapped_out(meminfo: bytes | None) -> int | None:
    """Bytes that the machine has swapped out; None if that cannot be read, so that it is not taken for 0."""
    if meminfo is None:
        return None
    total, free = line(meminfo, b"SwapTotal:") or 0, line(meminfo, b"SwapFree:")
    if not total:
        return 0
    return None if free is None else max(0, total - free)


def has_swap(meminfo: bytes | None) -> bool:
    """It has, or that cannot be read."""
    return meminfo is None or bool(line(meminfo, b"SwapTotal:"))


def is_whole_machine(version: int, memory_root: str | None) -> bool:
    """The hierarchy's root is the kernel's own: /proc/meminfo is about the same machine as it.

    In a node that is nested in a container the root is a group, and /proc/meminfo is the host's. Only the kernel's own
    root has release_agent (v1), or lacks memory.current (v2).
    """
    if memory_root is None:
        return False
    if version == 2:
        return not Path(memory_root, "memory.current").exists()
    return Path(memory_root, "release_agent").exists()


def line(text: bytes | None, key: bytes) -> int | None:
    """A line of /proc/meminfo in bytes."""
    for row in (text or b"").split(b"\n"):
        if row.startswith(key):
            value = number(row[len(key) :].replace(b" kB", b""))
            return None if value is None or value >= 1 << 53 else value * 1024
    return None
