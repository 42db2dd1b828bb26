"""The files of what is opt-in: memory.high and memory.low, bursts of CPU, disks; v1 and v2."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from colocation.model.policy import Disk
from colocation.node.cgroups import Layout
from colocation.node.files import OpenFile
from colocation.node.setting import Setting, text
from colocation.protect.optin import Extra

_NONE = Extra()


class ExtraFiles:
    """Those of one pod's group, made when they are asked for and kept open."""

    __slots__ = ("_files", "_group", "_layout", "_prefix")

    def __init__(self, layout: Layout, group: str) -> None:
        self._layout, self._group = layout, group
        self._prefix = len(layout.root.rstrip("/")) + 1
        self._files: dict[tuple[str, str], OpenFile] = {}

    def settings(self, extra: Extra, disks: Sequence[str]) -> list[Setting]:
        """What ``extra`` asks for beside what is there; ``disks``: "major:minor" of each of the node's disks."""
        if extra == _NONE:
            return []
        settings = []
        if extra.memory_high is not None:
            settings.append(self._number("memory", "memory.high", _pages(extra.memory_high)))
        if extra.memory_low is not None:
            settings.append(self._number("memory", "memory.low", _pages(extra.memory_low)))
        if extra.burst_percent:
            settings += self._bursts(extra.burst_percent)
        if extra.disk is not None:
            settings += self._disk(extra.disk, disks)
        return settings

    def close(self) -> None:
        """Give all descriptors back."""
        for file in self._files.values():
            file.close()

    def _bursts(self, percent: int) -> Iterator[Setting]:
        """The pod's own quota and each container's, where there is one: the kernel allows no burst above it."""
        v2 = self._layout.version == 2
        for group in ("", *self._containers("cpu")):
            fields = (text(self._file("cpu", "cpu.max" if v2 else "cpu.cfs_quota_us", group)) or "").split()
            if fields and fields[0].isdigit():
                name = "cpu.max.burst" if v2 else "cpu.cfs_burst_us"
                yield self._number("cpu", name, int(fields[0]) * percent // 100, group)

    def _containers(self, controller: str) -> list[str]:
        base = self._layout.directory(controller, self._group)
        try:
            with os.scandir(base or "") as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir())
        except OSError:
            return []
        for key in [key for key in self._files if key[1] and key[1] not in names]:
            self._files.pop(key).close()
        return names

    def _disk(self, disk: Disk, disks: Sequence[str]) -> Iterator[Setting]:
        v2 = self._layout.version == 2
        if disk.weight:
            if v2:
                yield self._lines("io", "io.weight", [f"default {disk.weight}"])
            else:
                yield self._number("blkio", "blkio.bfq.weight", disk.weight)
        bounds = [
            ("rbps", "read_bps", disk.read_bytes_per_second),
            ("wbps", "write_bps", disk.write_bytes_per_second),
            ("riops", "read_iops", disk.read_ops_per_second),
            ("wiops", "write_iops", disk.write_ops_per_second),
        ]
        if not disks or not any(bound for _, _, bound in bounds):
            return
        if v2:
            limits_text = " ".join(f"{key}={bound or 'max'}" for key, _, bound in bounds)
            yield self._lines("io", "io.max", [f"{device} {limits_text}" for device in disks])
            return
        # v1 bounds the tasks of a group and not those of the groups below it: so each container's.
        for group in self._containers("blkio"):
            for _, name, bound in bounds:
                if bound:
                    lines = [f"{device} {bound}" for device in disks]
                    yield self._lines("blkio", f"blkio.throttle.{name}_device", lines, group)

    def _number(self, controller: str, name: str, value: int, group: str = "") -> Setting:
        file = self._file(controller, name, group)
        return Setting(file.path[self._prefix :], str(value), text(file))

    def _lines(self, controller: str, name: str, lines: list[str], group: str = "") -> Setting:
        file = self._file(controller, name, group)
        return Setting(file.path[self._prefix :], "\n".join(lines), text(file), lines=True)

    def _file(self, controller: str, name: str, group: str = "") -> OpenFile:
        file = self._files.get((name, group))
        if file is None:
            directory = self._layout.directory(controller, f"{self._group}/{group}" if group else self._group)
            file = self._files[name, group] = OpenFile(f"{directory}/{name}")
        return file


def kept_above(layout: Layout, lows: Mapping[str, int]) -> dict[str, int]:
    """What the groups above must keep: the kernel gives a group no more than those above it have, and they have none.

    ``lows``: bytes by pod group. The result: bytes by group, for the QoS groups and kubelet's own.
    """
    above: dict[str, int] = {}
    for group, low in lows.items():
        parent = group.rpartition("/")[0]
        while parent.startswith(layout.pods_root) and layout.pods_root:
            above[parent] = above.get(parent, 0) + low
            parent = parent.rpartition("/")[0]
    return above


def whole_disks(sys_root: str = "/sys") -> tuple[str, ...]:
    """The major:minor of every disk that is a device: no partitions, loops, RAM disks or device mapper."""
    settings = []
    for disk in sorted(Path(sys_root, "block").glob("*/device")):
        with contextlib.suppress(OSError):
            settings.append((disk.parent / "dev").read_text(encoding="ascii").strip())
    return tuple(settings)


def _pages(value: int) -> int:
    """What the kernel would read back."""
    return value - value % mmap.PAGESIZE
