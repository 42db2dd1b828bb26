"""Path forms, counters and their accidents, on made trees of v1 and v2 with both kubelet drivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from colocation.agent.window import Window
from colocation.node.cgroups import detect
from colocation.node.files import MOST, READ_SIZE, OpenFile, field, number
from colocation.node.pressure import some_avg10
from colocation.node.probe import pod_uid, probe
from colocation.node.sampler import Sampler, count_cpus
from colocation.protect.sample import Unavailable, Use

UID = "12345678-9abc-def0-1234-56789abcdef0"
HASH = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        (f"pod{UID}", UID),
        (f"pod{HASH}", HASH),
        (f"kubepods-besteffort-pod{UID.replace('-', '_')}.slice", UID),
        (f"kubepods-burstable-pod{HASH}.slice", HASH),
        (f"kubepods-pod{UID.replace('-', '_')}.slice", UID),
        (f"kubelet-kubepods-besteffort-pod{UID.replace('-', '_')}.slice", UID),
        ("besteffort", None),
        ("kubepods-besteffort.slice", None),
        ("kubelet-kubepods-burstable.slice", None),
        ("kubepods", None),
        ("pod", None),
        ("cgroup.procs", None),
        ("crio-0123.scope", None),
        ("colocation-probe-12", None),
    ],
)
def test_a_pods_uid_is_read_from_its_groups_name(name, uid):
    assert pod_uid(name) == uid


def test_pods_are_found_in_all_three_qos_groups(tree):
    expected = {
        f"{i}{UID[1:]}": tree.pod(f"{i}{UID[1:]}", qos) for i, qos in enumerate(("", "burstable", "besteffort"))
    }
    expected[HASH] = tree.pod(HASH, "burstable")
    layout = detect(str(tree.root))
    assert (layout.version, layout.driver, layout.pods_root) == (tree.version, tree.driver, tree.top)
    assert layout.list_pods() == expected


@pytest.mark.parametrize(("version", "driver"), [(1, "cgroupfs"), (1, "systemd"), (2, "cgroupfs"), (2, "systemd")])
def test_a_tree_below_a_group_of_kubelets_own_is_found(tmp_path, version, driver, request):
    tree = type(request.getfixturevalue("v1"))(tmp_path / "nested", version, driver, parent="kubelet")
    group = tree.pod(UID)
    assert detect(str(tree.root)).list_pods() == {UID: group}


@pytest.fixture
def two_trees(tree, request):
    """Kubelet's tree, and the one of the other cgroup driver that it left behind."""
    driver = "systemd" if tree.driver == "cgroupfs" else "cgroupfs"
    return tree, type(tree)(tree.root, tree.version, driver)


@pytest.mark.parametrize("swap", [False, True])
def test_of_two_trees_the_one_that_holds_containers_is_kubelets(two_trees, swap):
    old, new = reversed(two_trees) if swap else two_trees
    old.make(f"{old.qos('besteffort')}/pod{HASH}")  # a pod's group without a container's in it
    group = new.pod(UID)
    layout = detect(str(new.root))
    assert (layout.pods_root, layout.driver) == (new.top, new.driver)
    assert layout.list_pods() == {UID: group}


@pytest.mark.parametrize("swap", [False, True])
def test_of_two_trees_that_hold_containers_the_one_with_the_pods_of_the_api_is_kubelets(two_trees, swap):
    old, new = reversed(two_trees) if swap else two_trees
    new.pod(UID)
    for i in range(3):
        old.pod(f"{i}{HASH[1:]}")
    assert detect(str(new.root)).pods_root == old.top
    assert detect(str(new.root), [UID, "not-here"]).pods_root == new.top


def test_an_empty_tree_is_left_for_one_that_is_filled_later(two_trees, tmp_path, clock):
    old, new = two_trees if two_trees[0].driver == "cgroupfs" else reversed(two_trees)
    sampler = Sampler(str(old.root), str(tmp_path), clock)
    rounds(sampler, clock, 3)
    assert sampler.layout.pods_root == old.top
    group = new.pod(UID)
    rounds(sampler, clock, 10)
    assert (sampler.layout.pods_root, sampler.groups) == (new.top, {UID: group})


def test_the_probe_counts_pods_and_those_that_hold_a_container(tree):
    tree.pod(UID)
    (tree.dir("cpuacct", tree.pod(HASH, "burstable")) / "sandbox").rmdir()
    found = probe(str(tree.root), try_writes=False)
    assert (found["pods"], found["pods_with_containers"]) == (2, 1)


def test_controllers_mounted_together_are_found(tmp_path):
    (tmp_path / "cpu,cpuacct" / "kubepods" / f"pod{UID}").mkdir(parents=True)
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    layout = detect(str(tmp_path))
    assert layout.version == 1
    assert layout.list_pods() == {UID: f"kubepods/pod{UID}"}


def test_no_kubelet_yet(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    layout = detect(str(tmp_path))
    assert layout.list_pods() is None
    assert layout.driver == ""


class Clock:
    now = 1_000_000_000

    def __call__(self):
        return self.now


def rounds(sampler, clock, count=1):
    for _ in range(count):
        clock.now += 1_000_000_000
        sample = sampler.sample()
    return sample


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sampler(tree, tmp_path, clock):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
    return Sampler(str(tree.root), str(tmp_path / "proc"), clock)


def test_rates_of_node_tree_and_pod(tree, sampler, clock):
    group = tree.pod(UID)
    rounds(sampler, clock)
    tree.cpu(group, 250_000_000)
    tree.cpu(tree.top, 300_000_000)
    tree.cpu("", 700_000_000)
    sample = rounds(sampler, clock)
    (row,) = sample.pods
    assert (sample.cpu, sample.pods_cpu, row.cpu, row.memory) == (700, 300, 250, Use(0))


@pytest.mark.parametrize("garbage", ["", "abc\n", "-5\n", "1 2 3\n", "usage_usec\n", "\x00\x01", "9" * 9 + "x"])
def test_garbage_is_no_value_rather_than_zero(tree, sampler, clock, garbage):
    group = tree.pod(UID)
    rounds(sampler, clock)
    name = "cpu.stat" if tree.version == 2 else "cpuacct.usage"
    (tree.dir("cpuacct", "") / name).write_text(garbage)
    (tree.dir("cpuacct", group) / name).write_text(garbage)
    (tree.dir("memory", "") / "memory.stat").write_text(garbage)
    sample = rounds(sampler, clock)
    assert sample.cpu is None
    assert sample.pods[0].cpu is None
    if tree.version == 1:
        assert sample.memory is None


def test_a_counter_that_goes_back_gives_no_sample_and_then_counts_on(tree, sampler, clock):
    group = tree.pod(UID)
    tree.cpu(group, 5_000_000_000)
    rounds(sampler, clock)
    tree.cpu(group, 1_000_000)
    assert rounds(sampler, clock).pods[0].cpu is None
    tree.cpu(group, 101_000_000)
    assert rounds(sampler, clock).pods[0].cpu == 100


def test_a_pod_that_vanishes_is_dropped_and_comes_back_anew(tree, sampler, clock):
    group = tree.pod(UID)
    tree.cpu(group, 5_000_000_000)
    rounds(sampler, clock, 2)
    directories = {tree.dir(name, group) for name in ("cpu", "cpuacct", "memory")}
    for directory in directories:
        directory.rename(directory.with_name("away"))
    assert rounds(sampler, clock).pods == ()
    assert sampler.groups == {}
    for directory in directories:
        directory.with_name("away").rename(directory)
    assert rounds(sampler, clock).pods[0].cpu is None


def test_kubelet_may_come_after_us(tmp_path, clock):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    late = Sampler(str(tmp_path), str(tmp_path), clock)
    rounds(late, clock, 3)
    (tmp_path / "kubepods" / f"pod{UID}").mkdir(parents=True)
    (tmp_path / "kubepods" / f"pod{UID}" / "cpu.stat").write_text("usage_usec 5\n")
    assert [row.uid for row in rounds(late, clock, 10).pods] == [UID]


def test_pressure_comes_from_the_root_group_or_else_from_proc(tmp_path, tree, sampler):
    assert sampler.pressure().cpu is None
    (tmp_path / "proc" / "pressure").mkdir()
    (tmp_path / "proc" / "pressure" / "cpu").write_text("some avg10=1.50 avg60=0.00 avg300=0.00 total=1\n")
    assert Sampler(str(tree.root), str(tmp_path / "proc")).pressure().cpu == 1.5
    directory = tree.root if tree.version == 2 else tree.root / "unified"
    directory.mkdir(exist_ok=True)
    (directory / "cpu.pressure").write_text("some avg10=2.25 avg60=0.00 avg300=0.00 total=1\n")
    assert Sampler(str(tree.root), str(tmp_path / "proc")).pressure().cpu == 2.25


def test_capacity_is_what_the_cpuset_and_the_memory_limit_leave(tmp_path, v1):
    (tmp_path / "meminfo").write_text("MemTotal: 4 kB\n")
    v1.write("cpuset", "", {"cpuset.effective_cpus": "0-2,7\n"})
    v1.write("memory", "", {"memory.limit_in_bytes": "2048\n"})
    capacity = Sampler(str(v1.root), str(tmp_path)).capacity()
    assert (capacity.cpu, capacity.memory) == (4000, 2048)


@pytest.mark.parametrize(
    ("text", "count"), [(b"0-3,8\n", 5), (b"0\n", 1), (b"\n", 0), (b"x", 0), (b"1-x", 0), (None, 0)]
)
def test_count_cpus(text, count):
    assert count_cpus(text) == count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"some avg10=0.25 avg60=1\n", 0.25),
        (b"full avg10=1 ", None),
        (b"", None),
        (None, None),
        (b"some avg10=x ", None),
    ],
)
def test_some_avg10(text, value):
    assert some_avg10(text) == value


def test_number_and_field():
    assert (number(b"12\n"), number(b"-1"), number(b""), number(None)) == (12, None, None, None)
    assert field(b"inactive_file 7\ntotal_inactive_file 9\n", b"total_inactive_file ") == 9
    assert field(b"inactive_file 7\n", b"inactive_file ") == 7
    assert field(b"xinactive_file 7\n", b"inactive_file ") is None


def test_a_root_that_is_no_cgroup_mount(tmp_path):
    layout = detect(str(tmp_path / "nowhere"))
    assert (layout.version, layout.pods_root) == (0, "")
    assert Path(layout.root).name == "nowhere"


@pytest.mark.parametrize("size", [1, READ_SIZE - 1, READ_SIZE, READ_SIZE + 1, 2 * READ_SIZE, 5 * READ_SIZE + 7, MOST])
def test_a_file_is_read_whole_whatever_its_length(tmp_path, size):
    (tmp_path / "long").write_bytes(b"x" * size)
    file = OpenFile(str(tmp_path / "long"))
    assert [len(file.read()) for _ in range(2)] == [size, size]
    file.close()


def test_a_file_without_an_end_gives_no_value(tmp_path):
    (tmp_path / "endless").write_bytes(b"x" * (MOST + READ_SIZE))
    assert OpenFile(str(tmp_path / "endless")).read() is None


def test_memory_stat_above_8_kib_gives_its_values(tree, sampler, clock):
    """As on kernels that count much: what is asked for stands behind the first 8 KiB."""
    group = tree.pod(UID)
    tree.memory(group, 5000, 1000, 700)
    stat = tree.dir("memory", group) / "memory.stat"
    stat.write_text("".join(f"vendor_counter_{number} 0\n" for number in range(600)) + stat.read_text())
    assert stat.stat().st_size > READ_SIZE
    (row,) = rounds(sampler, clock, 2).pods
    assert (row.memory, row.unavailable) == (Use(4000), Unavailable(3300))


def test_a_long_list_of_cpus_is_counted_to_its_end(tree):
    name = "cpuset.cpus.effective" if tree.version == 2 else "cpuset.effective_cpus"
    tree.write("cpuset", "", {name: ",".join(str(cpu) for cpu in range(0, 8192, 2)) + "\n"})
    assert Sampler(str(tree.root)).cpus() == 4096


@pytest.mark.parametrize(("used", "reported"), [(10_990, 11), (900, 1), (250_000, 250), (0, 0), (1, 1)])
def test_cpu_use_of_a_pod_is_reported_rounded_up(tree, sampler, clock, used, reported):
    """``used``: microseconds in a second."""
    group = tree.pod(UID)
    window = Window()
    for at in range(3):
        for each in (group, tree.top, ""):
            tree.cpu(each, at * used * 1000)
        window.add(rounds(sampler, clock))
    (row,) = window.rows()
    assert (row.cpu, row.cpu_peak, window.node.usage().cpu) == (reported, reported, reported)
    assert window.system.usage().cpu == 0, "pods are not rounded up before they are taken from the whole"


def test_pods_that_use_more_than_the_node_raise_the_nodes_use(tree, sampler, clock):
    """Files are read one after the other: here the pods' counters are 12 cores ahead and the node's 11."""
    group = tree.pod(UID)
    tree.memory(group, 6000, 0)
    tree.memory("", 5000, 0)
    rounds(sampler, clock)
    tree.cpu("", 11_000_000_000)
    tree.cpu(tree.top, 11_000_000_000)
    tree.cpu(group, 12_000_000_000)
    sample = rounds(sampler, clock)
    assert (sample.cpu, sample.memory) == (12_000, Use(6000))
    assert sample.pods_cpu == 11_000, "as it was read"


def test_a_tree_that_uses_more_than_the_node_raises_the_nodes_use(tree, sampler, clock):
    rounds(sampler, clock)
    tree.cpu("", 11_000_000_000)
    tree.cpu(tree.top, 12_000_000_000)
    assert rounds(sampler, clock).cpu == 12_000


def test_pods_never_make_up_for_a_node_that_cannot_be_read(tree, sampler, clock):
    group = tree.pod(UID)
    rounds(sampler, clock)
    (tree.dir("cpuacct", "") / ("cpu.stat" if tree.version == 2 else "cpuacct.usage")).unlink()
    sampler.close()
    tree.cpu(group, 1_000_000_000)
    sample = rounds(sampler, clock)
    assert (sample.cpu, sample.pods[0].cpu) == (None, 1000)
