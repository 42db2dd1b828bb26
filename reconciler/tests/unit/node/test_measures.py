"""Issue "Measures", word by word, on made trees (they are fakes: plain files; test_real.py has the kernel's own)."""

from __future__ import annotations

from pathlib import Path

import pytest

from colocation.agent.window import Window
from colocation.node import sampler as sampler_module
from colocation.node.cgroups import detect
from colocation.node.pressure import worst, worst_online
from colocation.node.sampler import Sampler
from colocation.protect.sample import Use

UID = "12345678-9abc-def0-1234-56789abcdef0"
SECOND = 1_000_000_000


class Clock:
    now = SECOND

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def proc(tmp_path):
    made = tmp_path / "proc"
    made.mkdir()
    swap_less(made)
    return made


def swap_less(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n")


def swap_of(proc: Path, total: int, free: int) -> None:
    text = f"MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: {total} kB\nSwapFree: {free} kB\n"
    (proc / "meminfo").write_text(text)


@pytest.fixture
def read(tree, proc, clock):
    """Rounds of a new Sampler; memory is read in the second, the seventh, ... of them."""
    made = Sampler(str(tree.root), str(proc), clock)

    def rounds(count=1):
        for _ in range(count):
            clock.now += SECOND
            sample = made.sample()
        return sample

    return rounds


def test_the_nodes_use_is_its_root_cgroups_whatever_proc_stat_says(tree, proc, read):
    (proc / "stat").write_text("cpu  100 0 100 100 0 0 0 0 0 0\n")
    read()
    (proc / "stat").write_text("cpu  99999 0 99999 100 0 0 0 0 0 0\n")
    tree.cpu("", 250_000_000)
    assert read().cpu == 250


CONTAINERS = {
    ("containerd", "cgroupfs"): ("0123abcd",),
    ("containerd", "systemd"): ("cri-containerd-0123abcd.scope",),
    ("crio", "cgroupfs"): ("crio-0123abcd", "crio-conmon-0123abcd"),
    ("crio", "systemd"): ("crio-0123abcd.scope", "crio-conmon-0123abcd.scope", "crio-0123abcd.scope/container"),
}


@pytest.mark.parametrize("runtime", ["containerd", "crio"])
@pytest.mark.parametrize("qos", ["", "burstable", "besteffort"])
def test_a_pod_is_the_same_whichever_runtimes_containers_are_below_it(tree, read, runtime, qos):
    group = tree.pod(UID, qos)
    for container in CONTAINERS[runtime, tree.driver]:
        tree.make(f"{group}/{container}")
    read()
    tree.cpu(group, 300_000_000)
    (row,) = read().pods
    assert (row.uid, row.cpu) == (UID, 300)


@pytest.mark.parametrize(
    "name",
    [
        # What containerd makes below its own service when its driver is not kubelet's.
        f"kubepods-besteffort-pod{UID.replace('-', '_')}.slice:cri-containerd:0123abcd",
        "crio-conmon-0123abcd.scope",
        "cri-containerd-0123abcd.scope",
    ],
)
def test_what_only_looks_like_a_pod_is_none(tree, read, name):
    tree.make(f"{tree.qos('besteffort')}/{name}")
    assert read(2).pods == ()


@pytest.mark.parametrize(
    ("driver", "top", "besteffort"),
    [
        ("cgroupfs", "kubepods", "kubepods/besteffort"),
        ("cgroupfs", "kubelet/kubepods", "kubelet/kubepods/besteffort"),
        ("cgroupfs", "site/nodes/kubepods", "site/nodes/kubepods/besteffort"),
        ("systemd", "kubepods.slice", "kubepods.slice/kubepods-besteffort.slice"),
        (
            "systemd",
            "kubelet.slice/kubelet-kubepods.slice",
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice",
        ),
        (
            "systemd",
            "site.slice/site-nodes.slice/site-nodes-kubepods.slice",
            "site.slice/site-nodes.slice/site-nodes-kubepods.slice/site-nodes-kubepods-besteffort.slice",
        ),
    ],
)
def test_a_nested_or_renamed_root_is_found(tmp_path, driver, top, besteffort):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    for other in ("init.scope", "system.slice", "user.slice/user-0.slice"):
        (tmp_path / other).mkdir(parents=True)
    (tmp_path / besteffort / f"pod{UID}").mkdir(parents=True)
    layout = detect(str(tmp_path))
    assert (layout.pods_root, layout.driver, layout.qos_groups()[2]) == (top, driver, besteffort)
    assert layout.list_pods() == {UID: f"{besteffort}/pod{UID}"}


@pytest.mark.parametrize("outer", ["system.slice/docker-0123.scope", "system.slice/containerd.service"])
def test_the_tree_of_a_node_nested_in_a_container_is_not_taken_for_this_nodes(tmp_path, outer):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / outer / "kubepods" / "besteffort" / f"pod{UID}").mkdir(parents=True)
    assert detect(str(tmp_path)).pods_root == ""


def test_a_tree_that_moves_is_found_again(v1, proc, clock):
    """Kubelet came back with the other driver."""
    made = Sampler(str(v1.root), str(proc), clock)
    v1.pod(UID)
    assert [row.uid for row in made.sample().pods] == [UID]
    for controller in ("cpu", "cpuacct", "memory"):
        kubepods = v1.root / controller / "kubepods"
        (kubepods / "besteffort" / f"pod{UID}").rename(v1.root / f"away-{controller}")
        kubepods.rename(v1.root / controller / "gone")
        new = v1.root / controller / "kubepods.slice/kubepods-besteffort.slice"
        new.mkdir(parents=True)
        (v1.root / f"away-{controller}").rename(new / f"kubepods-besteffort-pod{UID.replace('-', '_')}.slice")
    for _ in range(10):
        clock.now += SECOND
        sample = made.sample()
    assert [row.uid for row in sample.pods] == [UID]
    assert made.layout.driver == "systemd"


def test_what_a_pod_used_that_came_and_went_between_two_samples_is_the_pods_not_the_systems(tree, read):
    window = Window()
    window.add(read())
    tree.cpu(tree.top, 800_000_000)  # kubelet's tree keeps the count of groups that are gone
    tree.cpu("", 1_000_000_000)
    sample = read()
    window.add(sample)
    assert (sample.pods, sample.pods_cpu) == ((), 800)
    assert window.system.usage().cpu == 200


@pytest.mark.parametrize("after", [0, 1, 1 << 40], ids=["restarted at 0", "restarted", "wrapped at 64 bits"])
def test_a_counter_that_wraps_or_restarts_gives_one_gap_and_never_a_negative_or_huge_rate(tree, read, after):
    group = tree.pod(UID)
    high = (1 << 63) - 2_000_000_000 if after < 1 << 40 else (1 << 64) - 1
    for each in ("", tree.top, group):
        tree.cpu(each, high)
    read()
    for each in ("", tree.top, group):
        tree.cpu(each, after)
    sample = read()
    assert (sample.cpu, sample.pods_cpu, sample.pods[0].cpu) == (None, None, None)
    for each in ("", tree.top, group):
        tree.cpu(each, after + 100_000_000)
    sample = read()
    assert {sample.cpu, sample.pods_cpu, sample.pods[0].cpu} <= {99, 100}  # v2 counts whole microseconds


def test_cpus_that_are_unplugged_and_come_back_are_counted_as_they_are(tree, proc):
    name = "cpuset.cpus.effective" if tree.version == 2 else "cpuset.effective_cpus"
    tree.write("cpuset", "", {name: "0-3\n"})
    made = Sampler(str(tree.root), str(proc))
    seen = []
    for online in ("0-3", "0,2", "0-7"):
        tree.write("cpuset", "", {name: f"{online}\n"})
        seen.append(made.cpus())
    assert seen == [4, 2, 8]


SWAP = {1: "total_swap", 2: "memory.swap.current"}


def swapped(tree, group, count):
    if tree.version == 2:
        tree.write("memory", group, {"memory.swap.current": f"{count}\n"})
    else:
        stat = tree.dir("memory", group) / "memory.stat"
        kept = [line for line in stat.read_text().splitlines() if not line.startswith("total_swap")]
        stat.write_text("\n".join([*kept, f"total_swap {count}", ""]))


def test_what_is_swapped_out_is_in_use_all_the_same(tree, proc, read):
    group = tree.pod(UID)
    tree.memory(group, 5000, 1000)
    tree.memory(tree.top, 6000, 1000)
    tree.memory("", 9000, 500)
    for each, count in ((group, 300), (tree.top, 700), ("", 1000)):
        swapped(tree, each, count)
    swap_of(proc, 8, 4)
    sample = read(2)
    assert (sample.pods[0].memory, sample.pods_memory, sample.memory) == tuple(Use(n) for n in (4300, 5700, 9500))


def test_swap_that_the_kernel_does_not_count_by_group_is_the_systems(tree, proc, read):
    group = tree.pod(UID)
    tree.memory(group, 5000, 1000)
    tree.memory(tree.top, 6000, 1000)
    tree.memory("", 9000, 500)
    swap_of(proc, 8, 4)
    sample = read(2)
    assert (sample.pods[0].memory, sample.pods_memory, sample.memory) == tuple(
        Use(n) for n in (4000, 5000, 8500 + 4096)
    )


def files_of(tree):
    """(group, controller, file, what is not known without it)."""
    if tree.version == 2:
        use = {"cpu": "cpu.stat", "memory": "memory.current", "memory ": "memory.stat", "memory  ": SWAP[2]}
    else:
        use = {"cpuacct": "cpuacct.usage", "memory": "memory.usage_in_bytes", "memory ": "memory.stat"}
    for group in ("root", "tree", "pod"):
        for controller, name in use.items():
            yield group, controller.strip(), name


@pytest.mark.parametrize(
    "spoilt", [None, "", "x\n", "-1\n", b"\xff\x00"], ids=["gone", "empty", "word", "minus", "raw"]
)
def test_one_missing_or_garbage_file_takes_its_own_value_away_and_never_makes_a_zero(tree, proc, clock, spoilt):
    swap_of(proc, 8, 4)
    for case, controller, name in files_of(tree):
        pod = tree.pod(UID)
        group = {"root": "", "tree": tree.top, "pod": pod}[case]
        for each, count in (("", 4), (tree.top, 2), (pod, 1)):
            tree.cpu(each, 0)
            tree.memory(each, count << 20, 1 << 10)
            swapped(tree, each, count << 12)
        made = Sampler(str(tree.root), str(proc), clock)
        path = tree.dir(controller, group) / name
        clock.now += SECOND
        made.sample()
        made.close()  # so that what follows is read anew
        for each, count in (("", 400), (tree.top, 200), (pod, 100)):
            tree.cpu(each, count * 1_000_000)
        if spoilt is None:
            path.unlink()
        elif isinstance(spoilt, bytes):
            path.write_bytes(spoilt)
        else:
            path.write_text(spoilt)
        clock.now += SECOND
        sample = made.sample()
        (row,) = sample.pods
        cpu = {"root": sample.cpu, "tree": sample.pods_cpu, "pod": row.cpu}
        memory = {"root": sample.memory, "tree": sample.pods_memory, "pod": row.memory}
        lost = cpu if controller in ("cpu", "cpuacct") else memory
        what = (case, name, cpu, memory)
        if case == "root" and name == SWAP[2]:
            assert lost.pop("root") == Use((4 << 20) - (1 << 10) + 4096), what  # /proc/meminfo knows it too
        elif case == "tree" and name == SWAP[2]:
            assert lost.pop("tree") == Use((2 << 20) - (1 << 10)), (
                what
            )  # then swap counts as the system's, as without it
            assert lost.pop("pod") == Use((1 << 20) - (1 << 10)), what
        else:
            assert lost.pop(case) is None, what
        left = [*cpu.values(), *memory.values()]
        assert all(left), what
        made.close()


def test_swap_that_cannot_be_read_is_not_taken_for_none(v1, proc, clock):
    made = Sampler(str(v1.root), str(proc), clock)
    v1.memory("", 5000, 0)
    (proc / "meminfo").unlink()
    for _ in range(2):
        clock.now += SECOND
        sample = made.sample()
    assert sample.memory is None


def test_pressure_is_read_where_it_exists_and_absent_where_not(tree):
    online, offline = tree.pod("aa", "burstable"), tree.pod("bb", "besteffort")
    layout = detect(str(tree.root))
    assert worst(layout, [online, offline]) == {}
    for group, percent in ((online, "1.50"), (offline, "80.00")):
        directory = Path(layout.pressure(group))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cpu.pressure").write_text(f"some avg10={percent} avg60=0.00 avg300=0.00 total=1\n")
    assert worst(layout, [offline]) == {"cpu": 80.0}
    assert worst_online(layout, [online, offline]) == {"cpu": 1.5}


def test_memory_is_read_every_fifth_round_because_memory_stat_is_dear(read):
    assert [read().memory_read for _ in range(8)] == [n % sampler_module.MEMORY_EVERY == 2 for n in range(1, 9)]
