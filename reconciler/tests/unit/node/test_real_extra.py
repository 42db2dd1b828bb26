"""Opt-in knobs on real cgroups (as root; v1 or v2, as the machine has them): the kernel takes them, and lets go."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from colocation.model.policy import Disk, Protect
from colocation.model.report import BePod, OnlinePod
from colocation.node.apply import Applier
from colocation.node.cgroups import detect
from colocation.node.extra import whole_disks
from colocation.node.journal import Journal, restore
from colocation.node.probe import probe
from colocation.protect.optin import Extra, opt_in
from colocation.protect.wanted import Knobs

pytestmark = pytest.mark.root
BE, ONLINE = "be000000-1111", "aa000000-2222"
GROUPS = {BE: f"kubepods/besteffort/pod{BE}", ONLINE: f"kubepods/burstable/pod{ONLINE}"}
MIB = 1 << 20
PROTECT = Protect(
    memory_high_percent=50,
    memory_low_percent=50,
    burst_percent=40,
    disk=Disk(weight=10, read_bytes_per_second=5 * MIB, write_ops_per_second=50),
)


def wanted(features):
    """What a policy comes to on this kernel."""
    pods = [BePod(uid=BE, memory_limit=128 * MIB)], [OnlinePod(uid=ONLINE, memory_request=64 * MIB)]
    made = opt_in(PROTECT, *pods, [name for name, row in features.items() if row["available"]])
    return {uid: Knobs(extra=extra) for uid, extra in {**made.offline, **made.online}.items()}


@pytest.fixture
def pods(real):
    for uid, group in GROUPS.items():
        real.make(f"{group}/c")
        if uid == ONLINE:
            name, quota = ("cpu.max", "50000 100000") if real.version == 2 else ("cpu.cfs_quota_us", "50000")
            for each in (group, f"{group}/c"):
                (real.dir("cpu", each) / name).write_text(quota)
    return real


def expected(real, disk, features):
    """(controller, group, file, line that it holds), of what this kernel can do."""
    online, offline = GROUPS[ONLINE], GROUPS[BE]
    if real.version == 2:
        rows = [("cpu.burst", "cpu", group, "cpu.max.burst", "20000") for group in (online, f"{online}/c")]
        low = [online, "kubepods/burstable", "kubepods"]
        rows += [("memory.low", "memory", group, "memory.low", str(32 * MIB)) for group in low]
        rows += [
            ("memory.high", "memory", offline, "memory.high", str(64 * MIB)),
            ("io.weight", "io", offline, "io.weight", "default 10"),
            ("io.throttle", "io", offline, "io.max", f"{disk} rbps={5 * MIB} wbps=max riops=max wiops=50"),
        ]
    else:
        rows = [("cpu.burst", "cpu", group, "cpu.cfs_burst_us", "20000") for group in (online, f"{online}/c")]
        rows += [
            ("io.weight", "blkio", offline, "blkio.bfq.weight", "10"),
            ("io.throttle", "blkio", f"{offline}/c", "blkio.throttle.read_bps_device", f"{disk} {5 * MIB}"),
            ("io.throttle", "blkio", f"{offline}/c", "blkio.throttle.write_iops_device", f"{disk} 50"),
        ]
    return [row[1:] for row in rows if features[row[0]]["available"]]


def test_the_kernel_takes_what_its_probe_says_and_lets_go(pods, tmp_path):
    disks = whole_disks()
    if not disks:
        pytest.skip("this machine has no disk")
    features = probe(str(pods.root))["features"]
    rows = expected(pods, disks[0], features)
    assert rows, "nothing of it can be had here"
    files = {pods.dir(controller, group) / name: line for controller, group, name, line in rows}
    before = {path: path.read_text() for path in files}
    applier = Applier(detect(str(pods.root)), Journal(str(tmp_path / "journal"), str(pods.root)))
    applier.apply(wanted(features), GROUPS)
    assert applier.refused == {}
    for path, line in files.items():
        assert line in path.read_text().splitlines(), path
    writes = applier.writes
    applier.apply(wanted(features), GROUPS)
    assert applier.writes == writes, "what the kernel reads back is what was wanted"
    assert restore(str(tmp_path / "journal"), str(pods.root))["failed"] == []
    assert {path: path.read_text() for path in files} == before


def test_a_bound_pod_reads_slowly_and_its_neighbour_does_not(pods, tmp_path):
    """Direct reads: 2 MiB at 1 MiB a second; the first second's worth is not waited for."""
    if not probe(str(pods.root))["features"]["io.throttle"]["available"]:
        pytest.skip("no io.throttle here")
    data = tmp_path / "data"
    data.write_bytes(os.urandom(3 * MIB))
    os.sync()
    applier = Applier(detect(str(pods.root)), Journal(str(tmp_path / "journal"), str(pods.root)))
    applier.apply({BE: Knobs(extra=Extra(disk=Disk(read_bytes_per_second=MIB)))}, GROUPS)
    try:
        slow, fast = (_read_directly(pods, GROUPS[uid], data) for uid in (BE, ONLINE))
    except OSError as error:
        pytest.skip(f"no direct reads here: {error}")
    assert slow > 1.0
    assert fast < slow / 2


_READ = """
import mmap, os, sys, time
sys.stdin.readline()
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
page = mmap.mmap(-1, 1 << 18)
began = time.monotonic()
while os.readv(fd, [page]):
    pass
print(time.monotonic() - began)
"""


def _read_directly(real, group, path):
    """Seconds that it takes a process of the group to read a file past the page cache."""
    with subprocess.Popen(
        [sys.executable, "-c", _READ, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        controller = "io" if real.version == 2 else "blkio"
        (real.dir(controller, f"{group}/c") / "cgroup.procs").write_text(str(reader.pid))
        result, _ = reader.communicate("\n", timeout=60)
    if reader.returncode:
        raise OSError(f"exit {reader.returncode}")
    return float(result)
