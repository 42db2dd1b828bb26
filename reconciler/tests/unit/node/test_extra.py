"""Opt-in knobs, written for v1 and v2 and restored exactly. The trees are fakes; test_real_extra.py is no fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from colocation.model.policy import Disk
from colocation.node import apply as apply_module
from colocation.node.apply import Applier
from colocation.node.cgroups import detect
from colocation.node.extra import kept_above
from colocation.node.journal import Journal, restore
from colocation.protect.optin import Extra
from colocation.protect.wanted import Knobs

BE, ONLINE = "be00-11", "aa00-22"
DISK = "254:0"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def one_disk(monkeypatch):
    monkeypatch.setattr(apply_module, "whole_disks", lambda: (DISK,))


@pytest.fixture
def node(tree, tmp_path):
    tree.make(f"{tree.pod(BE)}/c1")
    tree.make(f"{tree.pod(ONLINE, 'burstable')}/c1")
    for group in (tree.pod(ONLINE, "burstable"), f"{tree.pod(ONLINE, 'burstable')}/c1"):
        quota = {"cpu.max": "50000 100000\n"} if tree.version == 2 else {"cpu.cfs_quota_us": "50000\n"}
        tree.write("cpu", group, quota)
    return Applier(detect(str(tree.root)), Journal(str(tmp_path / "journal"), str(tree.root)))


def groups(tree):
    return detect(str(tree.root)).list_pods()


def snapshot(tree):
    return {str(p.relative_to(tree.root)): p.read_text().strip() for p in tree.root.rglob("*") if p.is_file()}


def changes(tree, before):
    """What differs from before, by file name and the group's last part."""
    now = snapshot(tree)
    return {(Path(p).parent.name, Path(p).name): now[p] for p in now if now[p] != before[p]}


DISK_KNOBS = Disk(weight=10, read_bytes_per_second=MIB, write_ops_per_second=50)


@pytest.fixture
def offline(tree):
    return Extra(memory_high=512 * MIB + 5 if tree.version == 2 else None, disk=DISK_KNOBS)  # v1 has no memory.high


def test_offline_knobs_are_written_and_put_back_exactly(tree, node, offline, tmp_path):
    before = snapshot(tree)
    node.apply({BE: Knobs(extra=offline)}, groups(tree))
    pod = Path(groups(tree)[BE]).name
    if tree.version == 2:
        wanted = {
            (pod, "memory.high"): str(512 * MIB),
            (pod, "io.weight"): "default 10",
            (pod, "io.max"): f"{DISK} rbps={MIB} wbps=max riops=max wiops=50",
        }
        assert changes(tree, before) == wanted
    else:
        wanted = {
            (pod, "blkio.bfq.weight"): "10",
            ("c1", "blkio.throttle.read_bps_device"): f"{DISK} {MIB}",
            ("c1", "blkio.throttle.write_iops_device"): f"{DISK} 50",
        }
        assert changes(tree, before) == wanted
    assert node.refused == {}
    writes = node.writes
    node.apply({BE: Knobs(extra=offline)}, groups(tree))
    assert node.writes == writes, "what holds is not written again"
    node.apply({}, groups(tree))
    left = changes(tree, before)
    # A fake keeps the line that takes a bound away; the kernel drops it (test_real_extra.py).
    for key in list(left):
        if key[1] in ("io.max", "blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device"):
            assert left.pop(key) in (f"{DISK} rbps=max wbps=max riops=max wiops=max", f"{DISK} 0")
    assert left == {}
    assert (tmp_path / "journal").read_text() == ""


def test_bounds_that_others_set_are_put_back(tree, node):
    name = "io.max" if tree.version == 2 else "blkio.throttle.read_bps_device"
    group = groups(tree)[BE]
    file = (tree.dir("io", group) if tree.version == 2 else tree.dir("blkio", f"{group}/c1")) / name
    old = f"{DISK} rbps=9999999 wbps=max riops=max wiops=max" if tree.version == 2 else f"{DISK} 9999999"
    file.write_text(old + "\n")
    node.apply({BE: Knobs(extra=Extra(disk=Disk(read_bytes_per_second=MIB)))}, groups(tree))
    assert str(MIB) in file.read_text()
    node.apply({}, groups(tree))
    assert file.read_text() == old


def test_a_burst_follows_each_quota_of_an_online_pod(tree, node):
    before = snapshot(tree)
    node.apply({ONLINE: Knobs(extra=Extra(burst_percent=40))}, groups(tree))
    name = "cpu.max.burst" if tree.version == 2 else "cpu.cfs_burst_us"
    pod = Path(groups(tree)[ONLINE]).name
    assert changes(tree, before) == {(pod, name): "20000", ("c1", name): "20000"}
    node.apply({}, groups(tree))
    assert snapshot(tree) == before


def test_a_pod_without_a_quota_has_nothing_to_save_up(tree, node):
    quota = {"cpu.max": "max 100000\n"} if tree.version == 2 else {"cpu.cfs_quota_us": "-1\n"}
    for group in (groups(tree)[ONLINE], groups(tree)[ONLINE] + "/c1"):
        tree.write("cpu", group, quota)
    before = snapshot(tree)
    node.apply({ONLINE: Knobs(extra=Extra(burst_percent=40))}, groups(tree))
    assert snapshot(tree) == before


def test_memory_is_kept_all_the_way_up_and_put_back(tree, node):
    """A group's memory.low counts only as far as those above it have one."""
    if tree.version == 1:
        pytest.skip("v1 has no memory.low")
    before = snapshot(tree)
    node.apply({ONLINE: Knobs(extra=Extra(memory_low=64 * MIB)), BE: Knobs()}, groups(tree))
    above = [Path(tree.qos("burstable")).name, Path(tree.qos("")).name]
    wanted = dict.fromkeys([(Path(groups(tree)[ONLINE]).name, "memory.low")], str(64 * MIB))
    assert changes(tree, before) == wanted | {(name, "memory.low"): str(64 * MIB) for name in above}
    node.apply({}, groups(tree))
    assert snapshot(tree) == before


def test_groups_above_keep_the_sum(tree):
    layout = detect(str(tree.root))
    one, two, three = tree.pod("1-1", "burstable"), tree.pod("2-2", "burstable"), tree.pod("3-3", "")
    kept = kept_above(layout, {one: 1, two: 2, three: 4})
    assert kept == {tree.qos("burstable"): 3, tree.qos(""): 7}


def test_restore_takes_bounds_away_too(tree, node, tmp_path):
    before = snapshot(tree)
    node.apply({BE: Knobs(extra=Extra(disk=Disk(weight=10)))}, groups(tree))
    assert snapshot(tree) != before
    assert restore(str(tmp_path / "journal"), str(tree.root))["failed"] == []
    assert snapshot(tree) == before
