"""The same on real cgroups (as root; v1 or v2, as the machine has them): the kernel holds what we write.

`make unit` runs this on the machine's own, `make test-v2` on the v2 of an emulated one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from colocation.node import apply
from colocation.node.apply import Applier
from colocation.node.cgroups import detect
from colocation.node.journal import Journal, restore
from colocation.node.probe import probe
from colocation.node.sampler import Sampler
from colocation.protect.wanted import Knobs

pytestmark = pytest.mark.root
BE, SIBLING = "be000000-1111", "aa000000-2222"
MEMORY = 64 << 20
FEATURES = ("cpu.idle", "cpu.quota", "memory.limit")
KNOBS = {
    1: (("cpu", "cpu.cfs_quota_us"), ("cpu", "cpu.idle"), ("cpu", "cpu.shares"), ("memory", "memory.limit_in_bytes")),
    2: (("cpu", "cpu.max"), ("cpu", "cpu.idle"), ("cpu", "cpu.weight"), ("memory", "memory.max")),
}
HELD = {1: ["20000", "1", str(MEMORY)], 2: ["20000 100000", "1", str(MEMORY)]}


@pytest.fixture
def groups(real):
    made = {uid: f"kubepods/besteffort/pod{uid}" for uid in (BE, SIBLING)}
    for group in made.values():
        real.make(f"{group}/c")
        plain(real, group)
    return made


def plain(real, group):
    """The weight that kubelet gives a best-effort pod."""
    name, value = ("cpu.shares", "2") if real.version == 1 else ("cpu.weight", "1")
    (real.dir("cpu", group) / name).write_text(value)


@pytest.fixture
def spin(real, groups):
    """Start a process that spins in a pod's container group."""
    running = []

    def start(uid, code="while True: pass"):
        process = subprocess.Popen([sys.executable, "-c", code])
        running.append(process)
        real.enter(f"{groups[uid]}/c", process.pid)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def applier(real, tmp_path):
    def make(path=tmp_path / "journal"):
        return Applier(detect(str(real.root)), Journal(str(path), str(real.root)))

    return make


def values(real, group):
    return [(real.dir(controller, group) / name).read_text().strip() for controller, name in KNOBS[real.version]]


def stat(real, group):
    """How often the group was held back."""
    text = (real.dir("cpu", group) / "cpu.stat").read_text()
    return dict(line.split() for line in text.splitlines())["nr_throttled"]


def used(real, group):
    """CPU in ns."""
    if real.version == 1:
        return int((real.dir("cpuacct", group) / "cpuacct.usage").read_text())
    text = (real.dir("cpu", group) / "cpu.stat").read_text()
    return int(dict(line.split() for line in text.splitlines())["usage_usec"]) * 1000


def use(real, group, seconds=1.0):
    """Millicores used meanwhile."""
    first, began = used(real, group), time.monotonic()
    time.sleep(seconds)
    return (used(real, group) - first) / (time.monotonic() - began) / 1e6


def test_a_spinning_pod_is_held_to_its_limit_and_let_go(real, groups, spin, applier):
    spin(BE)
    before = {uid: values(real, group) for uid, group in groups.items()}
    holder = applier()
    wanted = {BE: Knobs(cpu=200, idle=True, memory=MEMORY)}
    holder.apply(wanted, groups)
    if not holder.writes:
        pytest.skip(f"this kernel takes none of it: {holder.refused}")
    assert holder.refused == {}
    quota, idle, _, memory = values(real, groups[BE])
    assert [quota, idle, memory] == HELD[real.version]
    assert values(real, groups[SIBLING]) == before[SIBLING]
    assert 0 < use(real, groups[BE], 2.0) <= 260
    sampler = Sampler(str(real.root))
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
    holder.apply(wanted, groups)
    assert holder.writes == 3, "nothing differs, nothing is written"
    holder.apply({}, groups)
    assert {uid: values(real, group) for uid, group in groups.items()} == before
    time.sleep(0.2)  # a period that had begun
    throttled = stat(real, groups[BE])
    assert use(real, groups[BE]) > 0
    assert stat(real, groups[BE]) == throttled, "it was let go"


def test_restore_after_a_kill(real, groups, applier, tmp_path):
    before = values(real, groups[BE])
    applier().apply({BE: Knobs(cpu=200, idle=True, memory=MEMORY)}, groups)
    assert values(real, groups[BE]) != before
    assert before[2] == ("2" if real.version == 1 else "1")
    assert restore(str(tmp_path / "journal"), str(real.root))["failed"] == []
    assert values(real, groups[BE]) == before


def test_a_memory_limit_below_the_use_is_reported_not_raised(real, groups, spin, applier):
    if real.version == 2:
        pytest.skip("v2 takes any limit, and reclaims or kills to get there")
    process = spin(BE, "import time; time.sleep(0.3); x = bytearray(96 << 20); time.sleep(60)")
    path = real.dir("memory", groups[BE]) / "memory.usage_in_bytes"
    deadline = time.monotonic() + 10
    while int(path.read_text()) < 96 << 20 and time.monotonic() < deadline:
        time.sleep(0.1)
    holder = applier()
    holder.apply({BE: Knobs(memory=32 << 20)}, groups)
    (refusal,) = holder.refused.values()
    assert "busy" in refusal.reason.lower()
    assert process.poll() is None, "v1 refuses; it does not kill"
    holder.apply({}, groups)
    assert holder.refused == {}


@pytest.mark.parametrize("when", ["before the round", "between reading and writing", "before it is put back"])
def test_a_pods_group_that_vanishes_under_us_is_no_trouble_and_leaves_nothing(real, groups, applier, monkeypatch, when):
    holder, wanted = applier(), {uid: Knobs(cpu=200, idle=True, memory=MEMORY) for uid in groups}
    if when == "before the round":
        real.unmake(groups[BE])
        holder.apply(wanted, groups)
    elif when == "between reading and writing":
        write = apply.write_value
        monkeypatch.setattr(apply, "write_value", lambda *a: (vanish(), write(*a)))

        def vanish():
            if real.dir("cpu", groups[BE]).exists():
                real.unmake(groups[BE])

        holder.apply(wanted, groups)
    else:
        holder.apply(wanted, groups)
        real.unmake(groups[BE])
    assert holder.refused == {}
    assert [v for i, v in enumerate(values(real, groups[SIBLING])) if i != 2] == HELD[real.version]
    del groups[BE]
    holder.apply({SIBLING: wanted[SIBLING]}, groups)
    assert {entry.uid for entry in holder._notes.entries} == {SIBLING}, "the journal forgets it"
    holder.apply({}, groups)
    assert holder.refused == {}
    assert holder._notes.entries == []


def test_a_group_made_anew_under_the_same_name_is_measured_and_held_anew(real, groups, spin, applier):
    process = spin(BE)
    sampler, holder = Sampler(str(real.root)), applier()
    wanted = {BE: Knobs(cpu=500, idle=True)}
    for _ in range(3):
        time.sleep(0.3)
        assert {row.uid for row in sampler.sample([BE]).pods} == {BE, SIBLING}
    holder.apply(wanted, sampler.groups)
    process.kill()
    process.wait()
    for _ in range(50):
        try:
            real.unmake(groups[BE])
            break
        except OSError:  # the kernel takes a moment to let go of the process
            time.sleep(0.05)
    real.make(f"{groups[BE]}/c")
    plain(real, groups[BE])
    fresh = values(real, groups[BE])
    seen = []
    for _ in range(3):
        time.sleep(0.1)
        sample = sampler.sample([BE])
        seen += [row.cpu for row in sample.pods if row.uid == BE]
        holder.apply(wanted, sampler.groups)
    assert seen[0] is None, "two groups' counters are not taken for one"
    assert seen[-1] == 0
    assert values(real, groups[BE])[1] == "1"
    holder.apply({}, sampler.groups)
    assert values(real, groups[BE]) == fresh
    sampler.close()


def test_counters_of_the_kernel_are_read_as_they_are(real, groups, spin):
    """Node, tree and pod: three spinning tenths of a second show up as such, in all three."""
    process = spin(BE, "import time; time.sleep(1000)")
    sampler = Sampler(str(real.root))
    sampler.sample()
    time.sleep(0.2)
    quiet = sampler.sample()
    assert quiet.cpu is not None
    process.kill()
    spin(BE)
    time.sleep(1.0)
    sample = sampler.sample()
    rows = {row.uid: row for row in sample.pods}
    assert rows[SIBLING].cpu == 0
    assert 0 < rows[BE].cpu <= 1000 * (os.cpu_count() or 1)
    assert sample.pods_cpu >= rows[BE].cpu * 0.9
    assert sample.cpu >= sample.pods_cpu * 0.9
    assert sampler.cpus() is None or sampler.cpus() <= (os.cpu_count() or 1)
    sampler.close()


READER = """
import os, time
time.sleep(0.5)
held = bytearray(24 << 20)
with open({file!r}, "rb") as file:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # what its writer left in memory is the writer's
    while file.read(1 << 20):
        pass
print("read", flush=True)
time.sleep(1000)
"""


def test_memory_without_the_page_cache_that_nobody_touches(real, groups, spin, tmp_path):
    """48 MB of a file that was read once, beside 24 MB of memory in use."""
    file = tmp_path / "big"
    file.write_bytes(b"x" * (48 << 20))
    os.sync()
    code = READER.format(file=str(file))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        real.enter(f"{groups[BE]}/c", process.pid)
        assert process.stdout.readline() == b"read\n"
        name = "memory.current" if real.version == 2 else "memory.usage_in_bytes"
        whole = int((real.dir("memory", groups[BE]) / name).read_text())
        if whole < 60 << 20:
            pytest.skip("this file system has no page cache that is charged to the reader")
        sampler = Sampler(str(real.root))
        sampler.sample()
        # The kernel adds memory.stat up every 2 s, or when it is asked and nobody else just did.
        deadline = time.monotonic() + 5
        while True:
            time.sleep(0.1)
            (row,) = [row for row in sampler.sample().pods if row.uid == BE]
            if row.memory.amount < whole - (30 << 20) or time.monotonic() > deadline:
                break
        sampler.close()
        assert 20 << 20 < row.memory.amount < whole - (30 << 20)
    finally:
        process.kill()
        process.wait()


def test_pressure_is_the_kernels_or_absent(real, groups):
    sampler = Sampler(str(real.root))
    exists = Path(sampler.layout.pressure(groups[BE]), "cpu.pressure").exists()
    found = sampler.pressure()
    assert found.cpu is None or 0 <= found.cpu <= 100
    assert exists or real.version == 1


def test_the_probe_tries_and_leaves_nothing(real, groups):
    found = probe(str(real.root))
    expected = (real.version, "cgroupfs", "kubepods")
    assert (found["cgroup_version"], found["cgroup_driver"], found["pods_root"]) == expected
    assert found["features"]["cpu.quota"]["available"]
    assert not list(real.root.glob("**/colocation-probe-*"))
    assert not list(real.root.glob("*/**/colocation-probe-*"))
    assert set(found["features"]) == set(probe("/nowhere", "/nowhere")["features"])
    assert probe("/nowhere", "/nowhere")["cgroup_version"] == 0
