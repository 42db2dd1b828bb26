"""Made cgroup trees (v1, v2, both drivers: fakes, plain files) and, as root, the kernel's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

CONTROLLERS = ("cpu", "cpuacct", "memory", "cpuset", "blkio")


class Tree:
    """A directory tree that looks like a cgroup mount."""

    def __init__(self, root: Path, version: int, driver: str, parent: str = "") -> None:
        self.root, self.version, self.driver = root, version, driver
        prefix = f"{parent}-" if parent else ""
        top = "kubepods" if driver == "cgroupfs" else f"{prefix}kubepods.slice"
        self.top = top if not parent else f"{parent if driver == 'cgroupfs' else parent + '.slice'}/{top}"
        self.prefix = f"{prefix}kubepods"
        if version == 2:
            root.mkdir(parents=True, exist_ok=True)
            (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        for qos in ("", "burstable", "besteffort"):
            self.make(self.qos(qos))
        self.make("")

    def qos(self, name: str) -> str:
        if not name:
            return self.top
        return f"{self.top}/{name}" if self.driver == "cgroupfs" else f"{self.top}/{self.prefix}-{name}.slice"

    def pod(self, uid: str, qos: str = "besteffort") -> str:
        if self.driver == "cgroupfs":
            group = f"{self.qos(qos)}/pod{uid}"
        else:
            middle = f"-{qos}" if qos else ""
            group = f"{self.qos(qos)}/{self.prefix}{middle}-pod{uid.replace('-', '_')}.slice"
        self.make(group)
        self.write("cpuacct", f"{group}/sandbox", {})
        return group

    def make(self, group: str) -> None:
        if self.version == 2:
            self.write("cpu", group, {"cpu.stat": "usage_usec 0\nnr_throttled 0\n", "cpu.max": "max 100000\n"})
            self.write(
                "memory", group, {"memory.stat": "anon 1\ninactive_file 0\nactive_file 2\n", "memory.max": "max\n"}
            )
            if group:  # the real root has no memory.current
                self.write("memory", group, {"memory.current": "0\n"})
            self.write("cpu", group, {"cpu.idle": "0\n", "cpu.weight": "1\n", "cpu.max.burst": "0\n"})
            self.write("memory", group, {"memory.high": "max\n", "memory.low": "0\n"})
            self.write("io", group, {"io.max": "", "io.weight": "default 100\n"})
            return
        stat = "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n"
        quota = {"cpu.stat": stat, "cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n", "cpu.idle": "0\n"}
        self.write("cpu", group, {**quota, "cpu.shares": "2\n", "cpu.cfs_burst_us": "0\n"})
        throttles = [f"blkio.throttle.{way}_{what}_device" for way in ("read", "write") for what in ("bps", "iops")]
        self.write("blkio", group, {**dict.fromkeys(throttles, ""), "blkio.bfq.weight": "100\n"})
        self.write("cpuacct", group, {"cpuacct.usage": "0\n"})
        unlimited = {"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "0\n"}
        self.write(
            "memory",
            group,
            {**unlimited, "memory.stat": "inactive_file 7\ntotal_inactive_file 0\ntotal_active_file 0\n"},
        )

    def dir(self, controller: str, group: str) -> Path:
        return self.root / group if self.version == 2 else self.root / controller / group

    def write(self, controller: str, group: str, files: dict[str, str]) -> None:
        directory = self.dir(controller, group)
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text)

    def cpu(self, group: str, ns: int) -> None:
        if self.version == 2:
            self.write("cpu", group, {"cpu.stat": f"usage_usec {ns // 1000}\nnr_throttled 0\n"})
        else:
            self.write("cpuacct", group, {"cpuacct.usage": f"{ns}\n"})

    def memory(self, group: str, used: int, inactive: int, active: int = 0) -> None:
        v2 = self.version == 2
        self.write("memory", group, {"memory.current" if v2 else "memory.usage_in_bytes": f"{used}\n"})
        prefix = "" if v2 else "total_"
        stat = f"anon 1\n{prefix}inactive_file {inactive}\n{prefix}active_file {active}\nunevictable 0\n"
        self.write("memory", group, {"memory.stat": stat})

    def whole_machine(self) -> None:
        """Its root is the kernel's own, as on a node that is no container."""
        if self.version == 1:
            self.write("memory", "", {"release_agent": "\n"})


@pytest.fixture(
    params=[(1, "cgroupfs"), (1, "systemd"), (2, "cgroupfs"), (2, "systemd")], ids=lambda p: f"v{p[0]}-{p[1]}"
)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    return Tree(tmp_path / "cgroup", *request.param)


@pytest.fixture
def v1(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "cgroup", 1, "cgroupfs")


class Real:
    """A cgroup root of our own in the kernel's hierarchies: v1 by links to one group in each, v2 by one group."""

    def __init__(self, view: Path) -> None:
        self._tops: list[Path] = []
        name = f"colocation-test-{os.getpid()}"
        if Path("/sys/fs/cgroup/cgroup.controllers").exists():
            self.version, self.root = 2, Path("/sys/fs/cgroup", name)
            self._enable(self.root.parent)
            self._made(self.root)
            self._enable(self.root)
            return
        if not Path("/sys/fs/cgroup/cpu").is_dir():
            pytest.skip("no cgroup v1 cpu controller on this machine")
        self.version, self.root = 1, view
        view.mkdir()
        for controller in CONTROLLERS:
            group = Path("/sys/fs/cgroup", controller, name)
            self._made(group)
            (view / controller).symlink_to(group)

    def dir(self, controller: str, group: str) -> Path:
        return self.root / group if self.version == 2 else self.root / controller / group

    def make(self, group: str) -> None:
        """As kubelet and the runtime make it: on v2 with the controllers handed down to it."""
        if self.version == 1:
            for controller in ("cpu", "cpuacct", "memory", "blkio"):
                self.dir(controller, group).mkdir(parents=True)
            return
        path = self.root
        for part in group.split("/"):
            self._enable(path)
            path /= part
            path.mkdir(exist_ok=True)

    def unmake(self, group: str) -> None:
        """Remove a group and those below it."""
        for controller in ("cpu", "cpuacct", "memory", "blkio") if self.version == 1 else ("cpu",):
            _remove(self.dir(controller, group))

    def enter(self, group: str, pid: int) -> None:
        for controller in ("cpu", "cpuacct", "memory") if self.version == 1 else ("cpu",):
            (self.dir(controller, group) / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        for top in self._tops:
            _remove(top)

    def _made(self, group: Path) -> None:
        try:
            group.mkdir()
        except OSError as error:
            self.close()
            pytest.skip(f"{group} cannot be made: {error.strerror}")
        self._tops.append(group)

    def _enable(self, group: Path) -> None:
        (group / "cgroup.subtree_control").write_text("+cpu +memory +io")


def _remove(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        Path(directory).rmdir()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    """The kernel's own cgroups, of whichever version this machine has; gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("making cgroups needs root")
    made = Real(tmp_path / "sys-fs-cgroup")
    try:
        yield made
    finally:
        made.close()
