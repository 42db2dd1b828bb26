"""Paths and files of cgroup v1 and v2, with kubelet's cgroupfs and systemd drivers: nothing else knows them."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from msgspec import Struct

from colocation.node import probe
from colocation.node.files import OpenFile
from colocation.node.memory import Memory, of_group

UNLIMITED_V1: Final = 1 << 62
"""v1 says "no memory limit" with a number just below 2**63; anything from here on is none."""


class Layout(Struct, frozen=True):
    """Where things are on this node."""

    root: str
    """As we see it, e.g. /sys/fs/cgroup."""
    version: int
    roots: dict[str, str]
    """Controller -> directory of its hierarchy; on v2 always ``root``."""
    pods_root: str
    """Kubelet's tree relative to a hierarchy; "" while there is none."""

    @property
    def driver(self) -> str:
        """Kubelet's cgroup driver: "cgroupfs", "systemd", or "" while there is no tree."""
        return probe.driver_of(self.pods_root)

    def directory(self, controller: str, group: str = "") -> str | None:
        """A group's directory in a controller's hierarchy; None if this kernel has no such controller."""
        root = self.roots.get(controller)
        return root if root is None or not group else f"{root}/{group}"

    def pressure(self, group: str = "") -> str:
        """The directory of a group's *.pressure files; on a v1 node they are in the hybrid hierarchy."""
        return f"{self.root}/{group}" if self.version == 2 else f"{self.root}/unified/{group}"

    def qos_groups(self) -> tuple[str, str, str]:
        """Guaranteed, burstable, besteffort: the three groups that hold pods, relative to a hierarchy."""
        top = self.pods_root
        if self.driver != "systemd":
            return top, f"{top}/burstable", f"{top}/besteffort"
        prefix = top.rpartition("/")[2].removesuffix(".slice")
        return top, f"{top}/{prefix}-burstable.slice", f"{top}/{prefix}-besteffort.slice"

    def _pods_directory(self, group: str = "") -> str | None:
        """Where pods' groups are looked for; every hierarchy has the same ones."""
        return self.directory("cpuacct", group) or self.directory("cpu", group)

    def list_pods(self) -> dict[str, str] | None:
        """Group of every pod there is now, by uid (static pods: by config hash); None if that cannot be read."""
        base = self._pods_directory()
        if base is None or not self.pods_root:
            return None
        pods: dict[str, str] = {}
        for index, qos in enumerate(self.qos_groups()):
            try:
                names = os.listdir(f"{base}/{qos}")  # noqa: PTH208 (each second: no Path objects)
            except OSError:
                if index == 0:
                    return None
                continue
            for name in names:
                uid = probe.pod_uid(name)
                if uid is not None:
                    pods[uid] = f"{qos}/{name}"
        return pods

    def has_group(self, group: str) -> bool:
        """This group is there."""
        directory = self._pods_directory(group)
        return directory is not None and Path(directory).is_dir()

    def holds_groups(self, group: str) -> bool:
        """A pod's group with a container's in it (of its sandbox, at first): kubelet has given it all its values.

        Before, they may still be the kernel's: kubelet makes a group, writes its weight and limits, and has the
        sandbox made then.
        """
        directory = self._pods_directory(group)
        if directory is None:
            return False
        try:
            with os.scandir(directory) as entries:
                return any(entry.is_dir(follow_symlinks=False) for entry in entries)
        except OSError:
            return False


def detect(root: str, uids: Collection[str] = ()) -> Layout:
    """Look at ``root`` and say what is there; of several trees of kubelet's, the one that holds these pods."""
    version, roots = probe.hierarchies(root)
    if version == 2:
        roots = {**roots, "cpuacct": root}  # cpu.stat counts use even where the cpu controller is off
    base = roots.get("cpuacct") or roots.get("cpu", root)
    return Layout(root=root, version=version, roots=roots, pods_root=probe.find_pods_root(base, uids))


class Meters:
    """The counters of one group: CPU use, memory, what of it is swapped out, throttling."""

    __slots__ = ("_cpu", "_current", "_memory_stat", "_stat", "_swap", "_v2")

    def __init__(self, layout: Layout, group: str) -> None:
        self._v2 = layout.version == 2
        cpuacct, cpu, memory = (layout.directory(name, group) for name in ("cpuacct", "cpu", "memory"))
        self._stat = OpenFile(f"{cpu or cpuacct}/cpu.stat")
        self._cpu = self._stat if self._v2 else OpenFile(f"{cpuacct}/cpuacct.usage")
        self._current = OpenFile(f"{memory}/memory.current" if self._v2 else f"{memory}/memory.usage_in_bytes")
        self._memory_stat = OpenFile(f"{memory}/memory.stat")
        self._swap = OpenFile(f"{memory}/memory.swap.current")

    def cpu(self) -> int | None:
        """CPU used so far in ns."""
        if not self._v2:
            return self._cpu.number()
        used = self._cpu.field(b"usage_usec ")
        return None if used is None else used * 1000

    def there(self) -> bool:
        """The group still exists (asked when a counter of it could not be read)."""
        return Path(self._cpu.path).parent.is_dir()

    def throttled(self) -> int | None:
        """How often a quota held the group back so far."""
        return self._stat.field(b"nr_throttled ")

    def memory(self, *, swap: int | None = 0) -> Memory:
        """Both quantities; ``swap``: bytes of it that are swapped out and count as its use, None: not known."""
        return of_group(self._current.number(), self._memory_stat.read(), swap, v2=self._v2)

    def swap(self) -> int | None:
        """Bytes swapped out; None where the kernel does not count that by group (swapaccount=0)."""
        return self._swap.number() if self._v2 else self._memory_stat.field(b"total_swap ")

    def close(self) -> None:
        """Give all descriptors back."""
        for file in (self._cpu, self._stat, self._current, self._memory_stat, self._swap):
            file.close()
