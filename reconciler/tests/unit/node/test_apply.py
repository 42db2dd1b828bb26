"""Applying values: only what differs is written, everything is noted first, what is not wanted is put back."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import msgspec
import pytest

from colocation.node import apply as apply_module
from colocation.node import background
from colocation.node.apply import Applier
from colocation.node.cgroups import detect
from colocation.node.journal import Journal, restore
from colocation.node.knobs import quota_us
from colocation.protect.wanted import Knobs
from tests.lab.waiting import eventually

UID, OTHER = "1111-22", "3333-44"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def node(tree, tmp_path, clock):
    tree.pod(UID)
    tree.pod(OTHER)
    return make(tree, tmp_path, clock)


def make(tree, tmp_path, clock, **options):
    journal = Journal(str(tmp_path / "state" / "journal"), str(tree.root))
    return Applier(detect(str(tree.root)), journal, clock=clock, **options)


def groups(tree):
    return detect(str(tree.root)).list_pods()


def read(tree, uid, layout=None):
    group = (groups(tree) if layout is None else layout.list_pods())[uid]
    names = ("cpu.max", "memory.max") if tree.version == 2 else ("cpu.cfs_quota_us", "memory.limit_in_bytes")
    texts = [(tree.dir(c, group) / n).read_text().strip() for c, n in zip(("cpu", "memory"), names, strict=True)]
    return (*texts, (tree.dir("cpu", group) / "cpu.idle").read_text().strip())


def untouched(tree):
    return ("max 100000", "max", "0") if tree.version == 2 else ("-1", "9223372036854771712", "0")


KNOBS = Knobs(cpu=500, idle=True, memory=1_000_000)


def changed(tree):
    quota = "50000 100000" if tree.version == 2 else "50000"
    return quota, "999424", "1"


def test_values_are_written_and_a_sibling_is_left_alone(tree, node):
    node.apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == changed(tree)
    assert read(tree, OTHER) == untouched(tree)
    assert node.refused == {}


def test_a_group_that_kubelet_is_still_making_is_left_alone_until_it_holds_a_container(tree, node):
    """What is in it until then may be the kernel's: noted, it would be put back in the place of kubelet's."""
    sandbox = tree.dir("cpuacct", groups(tree)[UID]) / "sandbox"
    sandbox.rmdir()
    node.apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == untouched(tree)
    sandbox.mkdir()
    node.apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == changed(tree)
    sandbox.rmdir()  # once looked at, it is held to its end
    node.apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == changed(tree)


def test_what_holds_is_not_written_again(tree, node):
    node.apply({UID: KNOBS}, groups(tree))
    before = node.writes
    node.apply({UID: KNOBS}, groups(tree))
    assert node.writes == before == 3


def test_what_somebody_else_put_back_is_corrected_a_round_later(tree, node):
    """systemctl daemon-reload does this."""
    node.apply({UID: KNOBS}, groups(tree))
    name = "cpu.max" if tree.version == 2 else "cpu.cfs_quota_us"
    (tree.dir("cpu", groups(tree)[UID]) / name).write_text(untouched(tree)[0] + "\n")
    node.apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == changed(tree)


def test_one_knob_no_longer_wanted_is_put_back_alone(tree, node):
    node.apply({UID: KNOBS}, groups(tree))
    node.apply({UID: Knobs(memory=1_000_000)}, groups(tree))
    assert read(tree, UID) == (untouched(tree)[0], changed(tree)[1], "0")


def test_everything_is_put_back_when_nothing_is_wanted(tree, node, tmp_path):
    node.apply({UID: KNOBS, OTHER: KNOBS}, groups(tree))
    node.apply({}, groups(tree))
    assert read(tree, UID) == read(tree, OTHER) == untouched(tree)
    assert (tmp_path / "state" / "journal").read_text() == ""


def test_a_restarted_agent_still_knows_the_first_value(tree, node, tmp_path, clock):
    node.apply({UID: KNOBS}, groups(tree))
    again = make(tree, tmp_path, clock)
    again.apply({UID: Knobs(cpu=200, idle=True, memory=1 << 20)}, groups(tree))
    again.apply({}, groups(tree))
    assert read(tree, UID) == untouched(tree)


def test_restore_without_an_agent(tree, node, tmp_path):
    node.apply({UID: KNOBS}, groups(tree))
    assert len(restore(str(tmp_path / "state" / "journal"), str(tree.root))["restored"]) == 3
    assert read(tree, UID) == untouched(tree)


def test_a_pod_that_vanished_is_forgotten(tree, node, tmp_path):
    node.apply({UID: KNOBS}, groups(tree))
    stale = groups(tree)
    for controller in ("cpu", "cpuacct", "memory"):
        directory = tree.dir(controller, stale[UID])
        if directory.exists():
            directory.rename(tmp_path / f"gone-{controller}")
    node.apply({UID: KNOBS}, stale)
    node.apply({}, groups(tree))
    assert (tmp_path / "state" / "journal").read_text() == ""
    assert node.refused == {}


def test_a_refusal_is_told_once_and_tried_again_ever_later(tree, node, clock, monkeypatch, caplog):
    tried = []

    def refuse(path, value, kind):
        tried.append(path)
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(apply_module, "write_value", refuse)
    for _ in range(120):
        node.apply({UID: Knobs(memory=1 << 20)}, groups(tree))
        clock.now += 1
    assert 5 <= len(tried) <= 9
    assert len(caplog.records) == 1
    (refusal,) = node.refused.values()
    assert "busy" in refusal.reason
    monkeypatch.undo()
    clock.now += 60
    node.apply({UID: Knobs(memory=1 << 20)}, groups(tree))
    assert node.refused == {}
    assert read(tree, UID)[1] == str(1 << 20)


def test_what_cannot_be_noted_is_not_changed(tree, node, clock, monkeypatch):
    node.apply({UID: KNOBS}, groups(tree))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(apply_module.Journal, "note", full)
    node.apply({UID: Knobs(cpu=100, idle=True, memory=1_000_000), OTHER: KNOBS}, groups(tree))
    assert read(tree, OTHER) == untouched(tree)
    assert read(tree, UID)[0].startswith("10000"), "what is in the journal already may be moved"
    assert any("No space" in refusal.reason for refusal in node.refused.values())
    monkeypatch.undo()
    clock.now += 2
    node.apply({UID: KNOBS, OTHER: KNOBS}, groups(tree))
    assert read(tree, OTHER) == changed(tree)
    assert node.refused == {}


@pytest.mark.parametrize("name", ["quota", "memory", "idle"])
def test_a_knob_that_a_found_pod_lacks_is_refused_not_passed_over(tree, node, name):
    """Its controller is not switched on as far down as the pod."""
    files = {
        "quota": ("cpu", "cpu.max" if tree.version == 2 else "cpu.cfs_quota_us"),
        "memory": ("memory", "memory.max" if tree.version == 2 else "memory.limit_in_bytes"),
        "idle": ("cpu", "cpu.idle"),
    }
    controller, file = files[name]
    (tree.dir(controller, groups(tree)[UID]) / file).unlink()
    node.apply({UID: KNOBS}, groups(tree))
    ((path, refusal),) = node.refused.items()
    assert path.endswith(file)
    assert "not there" in refusal.reason
    node.apply({}, {})
    assert node.refused == {}


def test_a_changed_layout_is_followed(tree, node, tmp_path):
    """Found under the other cgroup driver's tree from now on: written there, and nowhere else."""
    node.apply({UID: KNOBS}, groups(tree))
    other = type(tree)(tree.root, tree.version, "systemd" if tree.driver == "cgroupfs" else "cgroupfs")
    group = other.pod(UID)
    (tree.dir("cpuacct", groups(tree)[OTHER]) / "sandbox").rmdir()
    layout = detect(str(tree.root), [UID])
    layout = msgspec.structs.replace(layout, pods_root=other.top)
    node.follow(layout)
    node.apply({UID: KNOBS}, {UID: group})
    assert read(other, UID, layout) == changed(tree)
    assert read(tree, UID, msgspec.structs.replace(layout, pods_root=tree.top)) == untouched(tree)


class Disk:
    """A fake: holds each write to the journal until it may go on."""

    def __init__(self, monkeypatch):
        self.goes_on = threading.Event()
        self.goes_on.set()
        for name in ("note", "drop"):
            monkeypatch.setattr(Journal, name, self.held(getattr(Journal, name)))

    def held(self, write):
        def wait(*args):
            assert self.goes_on.wait(30)
            return write(*args)

        return wait


@pytest.fixture
def disk(monkeypatch):
    made = Disk(monkeypatch)
    yield made
    made.goes_on.set()


def test_a_disk_that_hangs_holds_up_no_round_and_what_is_noted_is_still_moved(tree, node, disk):
    node.apply({UID: KNOBS}, groups(tree))
    disk.goes_on.clear()
    began = time.monotonic()
    node.apply({UID: Knobs(cpu=100, idle=True, memory=1_000_000), OTHER: KNOBS}, groups(tree))
    node.apply({UID: Knobs(cpu=200, idle=True, memory=1_000_000), OTHER: KNOBS}, groups(tree))
    assert time.monotonic() - began < 1
    assert read(tree, UID)[0].startswith("20000")
    assert read(tree, OTHER) == untouched(tree), "what is not on disk is not changed"
    assert node.refused == {}, "a slow disk is no refusal"
    disk.goes_on.set()
    eventually(lambda: node.apply({OTHER: KNOBS}, groups(tree)) or read(tree, OTHER) == changed(tree), 5)


def test_a_disk_that_does_not_answer_is_told_and_forgotten_when_it_does(tree, node, disk, monkeypatch):
    monkeypatch.setattr(background, "LATE_SECONDS", 0.2)
    disk.goes_on.clear()
    for _ in range(2):
        node.apply({UID: KNOBS}, groups(tree))
        time.sleep(0.2)
    node.apply({UID: KNOBS}, groups(tree))
    assert [refusal.reason for refusal in node.refused.values()] == ["journal: the disk does not answer"]
    disk.goes_on.set()
    eventually(lambda: node.apply({UID: KNOBS}, groups(tree)) or read(tree, UID) == changed(tree), 5)
    assert node.refused == {}


def test_a_value_that_is_being_forgotten_is_noted_anew_before_it_is_changed_again(tree, node, disk, tmp_path):
    node.apply({UID: KNOBS}, groups(tree))
    disk.goes_on.clear()
    node.apply({}, groups(tree))
    assert read(tree, UID) == untouched(tree), "putting back waits for no disk"
    node.apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == untouched(tree)
    disk.goes_on.set()
    eventually(lambda: node.apply({UID: KNOBS}, groups(tree)) or read(tree, UID) == changed(tree), 5)
    restore(str(tmp_path / "state" / "journal"), str(tree.root))
    assert read(tree, UID) == untouched(tree)


def test_a_failed_drop_is_told_and_nothing_of_it_stays_when_it_works_again(tree, node, monkeypatch, caplog):
    node.apply({UID: KNOBS}, groups(tree))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "drop", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
        for _ in range(3):
            node.apply({}, groups(tree))
    assert [refusal.reason for refusal in node.refused.values()] == ["journal: No space"]
    assert len(caplog.records) == 1
    node.apply({}, groups(tree))
    assert node.refused == {}


def test_a_dry_run_changes_nothing(tree, tmp_path, clock):
    tree.pod(UID)
    make(tree, tmp_path, clock, dry_run=True).apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == untouched(tree)
    assert not (tmp_path / "state").exists()


def test_garbage_in_a_knob_file_is_replaced_and_put_back(tree, node):
    name = "memory.max" if tree.version == 2 else "memory.limit_in_bytes"
    path = tree.dir("memory", groups(tree)[UID]) / name
    path.write_text("garbage\n")
    node.apply({UID: KNOBS}, groups(tree))
    assert read(tree, UID) == changed(tree)
    path.write_bytes(b"\xff\xfe")
    node.apply({UID: KNOBS}, groups(tree))  # not text: left alone, nothing raised


def test_never_a_qos_group(tree, node):
    """cpu.idle on a QoS group stops kubelet from starting again."""
    node.apply({UID: KNOBS, OTHER: KNOBS}, groups(tree))
    for qos in ("", "burstable", "besteffort"):
        assert (tree.dir("cpu", tree.qos(qos)) / "cpu.idle").read_text().strip() == "0"


@pytest.mark.parametrize(
    ("millicores", "period", "us"), [(500, 100_000, 50_000), (1, 100_000, 1_000), (2500, 10_000, 25_000)]
)
def test_quota_us(millicores, period, us):
    assert quota_us(millicores, period) == us


def test_kubelets_own_period_is_kept(v1, tmp_path, clock):
    group = v1.pod(UID)
    v1.write("cpu", group, {"cpu.cfs_period_us": "10000\n"})
    make(v1, tmp_path, clock).apply({UID: Knobs(cpu=500)}, groups(v1))
    assert Path(v1.dir("cpu", group), "cpu.cfs_quota_us").read_text() == "5000"


def test_the_weight_that_idle_overwrites_is_put_back_after_it(tree, node, tmp_path):
    """The kernel gives a group the default weight when idle is switched off; kubelet had set the least."""
    name = "cpu.weight" if tree.version == 2 else "cpu.shares"
    weight = tree.dir("cpu", groups(tree)[UID]) / name
    before = weight.read_text().strip()
    node.apply({UID: KNOBS}, groups(tree))
    weight.write_text("1024\n")
    node.apply({UID: KNOBS}, groups(tree))
    paths = [
        entry.path.rpartition("/")[2] for entry in Journal(str(tmp_path / "state/journal"), str(tree.root)).entries
    ]
    assert paths.index(name) < paths.index("cpu.idle"), "restored in reverse order"
    node.apply({}, groups(tree))
    assert weight.read_text().strip() == before
