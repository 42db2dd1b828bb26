"""The same on real cgroups (v1, as root): the kernel holds what we write, and takes it back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from colocation.node.apply import Applier
from colocation.node.cgroups import detect
from colocation.node.journal import Journal, restore
from colocation.node.probe import probe
from colocation.node.sampler import Sampler
from colocation.protect.wanted import Knobs

pytestmark = pytest.mark.root
BE, SIBLING = "be000000-1111", "aa000000-2222"
MEMORY = 64 << 20


@pytest.fixture
def groups(real_root):
    for controller in ("cpu", "cpuacct", "memory"):
        for uid in (BE, SIBLING):
            (real_root / controller / f"kubepods/besteffort/pod{uid}/c").mkdir(parents=True)
    for uid in (BE, SIBLING):  # as kubelet makes them
        (real_root / "cpu" / f"kubepods/besteffort/pod{uid}/cpu.shares").write_text("2")
    return {uid: f"kubepods/besteffort/pod{uid}" for uid in (BE, SIBLING)}


@pytest.fixture
def spin(real_root, groups):
    """Start a process that spins in a pod's container group."""
    running = []

    def start(uid, code="while True: pass"):
        process = subprocess.Popen([sys.executable, "-c", code])
        running.append(process)
        for controller in ("cpu", "cpuacct", "memory"):
            (real_root / controller / groups[uid] / "c" / "cgroup.procs").write_text(str(process.pid))
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def values(real_root, group):
    names = [
        ("cpu", "cpu.cfs_quota_us"),
        ("cpu", "cpu.idle"),
        ("cpu", "cpu.shares"),
        ("memory", "memory.limit_in_bytes"),
    ]
    return [Path(real_root, c, group, n).read_text().strip() for c, n in names]


def stat(real_root, group):
    """How often the group was held back."""
    text = (real_root / "cpu" / group / "cpu.stat").read_text()
    return dict(line.split() for line in text.splitlines())["nr_throttled"]


def use(real_root, group, seconds=1.0):
    """Millicores used meanwhile."""
    path = real_root / "cpuacct" / group / "cpuacct.usage"
    first, began = int(path.read_text()), time.monotonic()
    time.sleep(seconds)
    return (int(path.read_text()) - first) / (time.monotonic() - began) / 1e6


def test_a_spinning_pod_is_held_to_its_limit_and_let_go(real_root, groups, spin, tmp_path):
    spin(BE)
    before = {uid: values(real_root, group) for uid, group in groups.items()}
    journal = Journal(str(tmp_path / "journal"), str(real_root))
    applier = Applier(detect(str(real_root)), journal, ("cpu.idle", "cpu.quota", "memory.limit"))
    wanted = {BE: Knobs(cpu=200, idle=True, memory=MEMORY)}
    applier.apply(wanted, groups)
    if not applier.writes:
        pytest.skip(f"this kernel takes none of it: {applier.refused}")
    assert applier.refused == {}
    quota, idle, _, memory = values(real_root, groups[BE])
    assert (quota, idle, memory) == ("20000", "1", str(MEMORY))
    assert values(real_root, groups[SIBLING]) == before[SIBLING]
    assert 0 < use(real_root, groups[BE], 2.0) <= 260
    sampler = Sampler(str(real_root))
    sampler.sample([BE])
    for _ in range(20):  # where the machine is busy with other tests, the pod does not get so far each second
        time.sleep(1)
        row = {r.uid: r for r in sampler.sample([BE]).pods}[BE]
        assert row.cpu is not None
        assert row.cpu <= 260
        if row.throttled:
            break
    assert row.throttled
    sampler.close()
    applier.apply(wanted, groups)
    assert applier.writes == 3, "nothing differs, nothing is written"
    applier.apply({}, groups)
    assert {uid: values(real_root, group) for uid, group in groups.items()} == before
    time.sleep(0.2)  # a period that had begun
    throttled = stat(real_root, groups[BE])
    assert use(real_root, groups[BE]) > 0
    assert stat(real_root, groups[BE]) == throttled, "it was let go"


def test_restore_after_a_kill(real_root, groups, tmp_path):
    before = values(real_root, groups[BE])
    journal = str(tmp_path / "journal")
    applier = Applier(
        detect(str(real_root)), Journal(journal, str(real_root)), ("cpu.idle", "cpu.quota", "memory.limit")
    )
    applier.apply({BE: Knobs(cpu=200, idle=True, memory=MEMORY)}, groups)
    assert values(real_root, groups[BE]) != before
    assert before[2] == "2"
    assert restore(journal, str(real_root))["failed"] == []
    assert values(real_root, groups[BE]) == before


def test_a_memory_limit_below_the_use_is_reported_not_raised(real_root, groups, spin, tmp_path):
    process = spin(BE, "import time; time.sleep(0.3); x = bytearray(96 << 20); time.sleep(60)")
    path = real_root / "memory" / groups[BE] / "memory.usage_in_bytes"
    deadline = time.monotonic() + 10
    while int(path.read_text()) < 96 << 20 and time.monotonic() < deadline:
        time.sleep(0.1)
    applier = Applier(detect(str(real_root)), Journal(str(tmp_path / "j"), str(real_root)), ("memory.limit",))
    applier.apply({BE: Knobs(memory=32 << 20)}, groups)
    (refusal,) = applier.refused.values()
    assert "busy" in refusal.reason.lower()
    assert process.poll() is None, "v1 refuses; it does not kill"
    applier.apply({}, groups)
    assert applier.refused == {}


def test_tasks_are_made_idle_and_normal_again(real_root, groups, spin, tmp_path):
    process = spin(BE, "import time; time.sleep(60)")
    other = spin(SIBLING, "import time; time.sleep(60)")
    applier = Applier(detect(str(real_root)), Journal(str(tmp_path / "j"), str(real_root)), ("cpu.quota", "sched.idle"))
    applier.apply({BE: Knobs(idle=True)}, groups)
    if applier.refused:
        pytest.skip(f"SCHED_IDLE is refused here: {applier.refused}")
    assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
    assert os.sched_getscheduler(other.pid) == os.SCHED_OTHER
    assert restore(str(tmp_path / "j"), str(real_root))["restored"] == [f"cpu/{groups[BE]}"]
    assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER


def test_the_probe_tries_and_leaves_nothing(real_root, groups):
    found = probe(str(real_root))
    assert (found["cgroup_version"], found["cgroup_driver"], found["pods_root"]) == (1, "cgroupfs", "kubepods")
    assert found["features"]["cpu.quota"]["available"]
    assert not list(real_root.glob("*/**/colocation-probe-*"))
    assert set(found["features"]) == set(probe("/nowhere", "/nowhere")["features"])
    assert probe("/nowhere", "/nowhere")["cgroup_version"] == 0
