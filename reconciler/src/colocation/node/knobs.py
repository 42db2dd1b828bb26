"""Wanted values -> what to write into which file of a pod's group, on v1 and v2."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Final

from colocation.node.cgroups import UNLIMITED_V1, Layout
from colocation.node.extra import ExtraFiles
from colocation.node.files import OpenFile, number
from colocation.node.setting import Setting, text
from colocation.protect.wanted import Knobs

PERIOD_US: Final = 100_000
MOST_PERIOD_US: Final = 1_000_000
"""The kernel knows no longer one."""
MIN_QUOTA_US: Final = 1_000
"""The kernel refuses less."""


class PodFiles:
    """The knob files of one pod's group, kept open for reading."""

    __slots__ = ("_extra", "_idle", "_memory", "_period", "_prefix", "_quota", "_v2", "_weight", "group")

    def __init__(self, layout: Layout, group: str) -> None:
        self.group = group
        self._v2 = layout.version == 2
        self._prefix = len(layout.root.rstrip("/")) + 1
        cpu, memory = layout.directory("cpu", group), layout.directory("memory", group)
        self._quota = OpenFile(f"{cpu}/cpu.max" if self._v2 else f"{cpu}/cpu.cfs_quota_us")
        self._period = OpenFile(f"{cpu}/cpu.cfs_period_us")
        self._idle = OpenFile(f"{cpu}/cpu.idle")
        self._weight = OpenFile(f"{cpu}/cpu.weight" if self._v2 else f"{cpu}/cpu.shares")
        self._memory = OpenFile(f"{memory}/memory.max" if self._v2 else f"{memory}/memory.limit_in_bytes")
        self._extra = ExtraFiles(layout, group)

    def settings(self, knobs: Knobs, disks: Sequence[str] = ()) -> list[Setting]:
        """What ``knobs`` asks for beside what is there."""
        settings = self._extra.settings(knobs.extra, disks)
        if knobs.memory is not None:
            settings.append(self._memory_setting(knobs.memory))
        if knobs.cpu is not None:
            settings.append(self._quota_setting(knobs.cpu))
        if knobs.idle:
            settings.append(self._idle_setting())
        return settings

    def close(self) -> None:
        """Give all descriptors back."""
        for file in (self._quota, self._period, self._idle, self._weight, self._memory):
            file.close()
        self._extra.close()

    def _setting(self, file: OpenFile, want: str, there: str | None) -> Setting:
        return Setting(self._name(file), want, there)

    def _idle_setting(self) -> Setting:
        # Switching idle off gives the group the default weight, not the one kubelet had set.
        there = text(self._idle)
        weight = None if there == "1" else text(self._weight)
        return Setting(self._name(self._idle), "1", there, self._name(self._weight), weight)

    def _name(self, file: OpenFile) -> str:
        return file.path[self._prefix :]

    def _quota_setting(self, millicores: int) -> Setting:
        there = text(self._quota)
        if self._v2:
            _, _, after = (there or "").partition(" ")
            period = number(after.encode()) or PERIOD_US
            period = period if period <= MOST_PERIOD_US else PERIOD_US
            return self._setting(self._quota, f"{quota_us(millicores, period)} {period}", there)
        # The period stays as kubelet made it (--cpu-cfs-quota-period).
        return self._setting(self._quota, str(quota_us(millicores, self._period.number() or PERIOD_US)), there)

    def _memory_setting(self, limit: int) -> Setting:
        limit -= limit % mmap.PAGESIZE  # what the kernel would read back
        there = text(self._memory)
        return self._setting(self._memory, str(min(limit, UNLIMITED_V1)), there)


def quota_us(millicores: int, period_us: int) -> int:
    """Microseconds of CPU a period; never below what the kernel takes."""
    return max(MIN_QUOTA_US, millicores * period_us // 1000)
