"""The two quantities of memory: what the budget adds up, and what evictions are decided by.

The machines are made: one model writes /proc/meminfo, and the groups of v1 or v2, of the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colocation.agent.window import Window
from colocation.budget.compute import compute
from colocation.budget.sums import Resource, add_up_one
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import OversellMemory
from colocation.model.report import BePod, Capacity, NodeColocationSpec, NodeColocationStatus, PolicyRef, Pressure
from colocation.node.sampler import Sampler
from colocation.protect.evict import EvictionWatch, watch
from colocation.protect.sample import Unavailable, Use

GIB = 1 << 30
PAGE = 4096
SECOND = 1_000_000_000
A, B = "aaaa-1", "bbbb-2"


@dataclass(frozen=True)
class Bytes:
    """What one owner has: of it anonymous, shared, active and inactive page cache are in RAM."""

    anon: int = 0
    shared: int = 0
    active: int = 0
    inactive: int = 0
    swap: int = 0

    @property
    def charged(self):
        return self.anon + self.shared + self.active + self.inactive

    def __add__(self, other):
        return Bytes(*(getattr(self, name) + getattr(other, name) for name in self.__annotations__))

    def move(self, source, target, amount):
        amount = min(amount, getattr(self, source))
        taken = replace(self, **{source: getattr(self, source) - amount})
        return replace(taken, **{target: getattr(taken, target) + amount})


@dataclass(frozen=True)
class Machine:
    """Pods and the rest; ``slab`` (half of it reclaimable), ``huge`` pages and free ``kept`` memory are in no group."""

    total: int
    system: Bytes = Bytes()
    pods: dict[str, Bytes] = field(default_factory=dict)
    slab: int = 0
    huge: int = 0
    kept: int = 0
    swap: int = 0

    @property
    def in_pods(self):
        return sum(self.pods.values(), Bytes())

    def meminfo(self):
        owned = self.system + self.in_pods
        free = self.total - owned.charged - self.slab - self.huge
        assert free >= 0
        available = max(0, free - self.kept) + owned.active + owned.inactive + self.slab // 2
        rows = {
            "MemTotal": self.total,
            "MemFree": free,
            "MemAvailable": available,
            "Buffers": 0,
            "Cached": owned.active + owned.inactive + owned.shared,
            "Active": owned.active,
            "Inactive": owned.anon + owned.shared + owned.inactive,
            "Active(file)": owned.active,
            "Inactive(file)": owned.inactive,
            "SwapTotal": self.swap,
            "SwapFree": self.swap - owned.swap,
            "Shmem": owned.shared,
            "Slab": self.slab,
            "SReclaimable": self.slab // 2,
        }
        return "".join(f"{name}: {value // 1024:>10} kB\n" for name, value in rows.items())


def stand(tree, proc, machine, *, nested=False):
    """Write the machine's files."""
    (proc / "meminfo").write_text(machine.meminfo())
    groups = {tree.pod(uid): owned for uid, owned in machine.pods.items()} | {tree.top: machine.in_pods}
    if nested:
        groups[""] = machine.system + machine.in_pods
    else:
        tree.whole_machine()
    for group, owned in groups.items():
        v2 = tree.version == 2
        prefix = "" if v2 else "total_"
        stat = {"anon": owned.anon, f"{prefix}inactive_file": owned.inactive, f"{prefix}active_file": owned.active}
        if not v2:
            # The plain lines are of the group alone, without those below it.
            stat |= {"inactive_file": 0, "active_file": 0, "total_swap": owned.swap}
            tree.write("memory", group, {"memory.usage_in_bytes": f"{owned.charged}\n"})
        else:
            tree.write("memory", group, {"memory.current": f"{owned.charged}\n"})
            tree.write("memory", group, {"memory.swap.current": f"{owned.swap}\n"})
        tree.write("memory", group, {"memory.stat": "".join(f"{key} {value}\n" for key, value in stat.items())})


def read(tree, proc):
    """The second round's sample, in which memory is read, and the window after it."""
    now = [SECOND]
    sampler, window = Sampler(str(tree.root), str(proc), lambda: now[0]), Window()
    for _ in range(2):
        now[0] += SECOND
        sample = sampler.sample()
    sampler.close()
    window.add(sample)
    return sample, window


@pytest.fixture
def proc(tmp_path):
    made = tmp_path / "proc"
    made.mkdir()
    return made


def test_use_is_one_formula_for_the_node_and_for_pods(tree, proc):
    pod = Bytes(anon=3 * GIB, shared=GIB, active=5 * GIB, inactive=7 * GIB, swap=2 * GIB)
    system = Bytes(anon=2 * GIB, active=GIB, inactive=4 * GIB)
    stand(tree, proc, Machine(64 * GIB, system, {A: pod}, slab=GIB, swap=8 * GIB))
    sample, window = read(tree, proc)
    assert (sample.pods[0].memory, sample.pods_memory) == (Use(11 * GIB), Use(11 * GIB))
    assert sample.memory == Use(15 * GIB), "11 of the pod, 3 of the system, 1 of the kernel's own"
    assert window.system.usage().memory == 4 * GIB


PLACES = ("active", "inactive", "shared", "swap", "anon")


@pytest.mark.parametrize("nested", [False, True], ids=["whole machine", "nested in a container"])
@given(
    moves=st.lists(
        st.tuples(st.sampled_from([A, B]), st.sampled_from(PLACES), st.sampled_from(PLACES), st.integers(0, 2**20)).map(
            lambda one: (*one[:3], one[3] * PAGE)
        ),
        max_size=8,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_move_within_a_pod_change_the_node_and_the_pod_alike(tree, proc, nested, moves):
    pod = Bytes(anon=2 * GIB, shared=GIB, active=3 * GIB, inactive=4 * GIB, swap=GIB)
    pods = {A: pod, B: pod}
    for uid, source, target, amount in moves:
        pods[uid] = pods[uid].move(source, target, amount)
    system = Bytes(anon=5 * GIB, active=GIB, inactive=GIB)
    stand(tree, proc, Machine(64 * GIB, system, pods, slab=0 if nested else GIB, swap=16 * GIB), nested=nested)
    sample, window = read(tree, proc)
    assert window.system.usage().memory == (6 if nested else 7) * GIB
    assert sum(row.memory.amount for row in sample.pods) == sample.pods_memory.amount
    assert sample.memory.amount - sample.pods_memory.amount == window.system.usage().memory


@pytest.mark.parametrize("cached", [0, 20 * GIB, 40 * GIB])
def test_page_cache_of_a_best_effort_pod_adds_nothing_to_be_memory(tree, proc, cached):
    """128 GiB, of which daemons outside pods take 30: that, and so be-memory, must not depend on the pod's cache."""
    machine = Machine(128 * GIB, Bytes(anon=30 * GIB), {A: Bytes(anon=GIB, active=cached)})
    stand(tree, proc, machine)
    _, window = read(tree, proc)
    status = NodeColocationStatus(system=window.system.usage(), pods=window.rows())
    assert status.system.memory == 30 * GIB
    pods = [PodFacts(A, A, "work/a", "n", Qos.BE, running=True, cpu=0, memory=0, be_cpu=100, be_memory=GIB)]
    sums = add_up_one(pods, {row.uid: row for row in status.pods}, Resource.MEMORY, "usage")
    node = NodeFacts(
        name="n",
        uid="n",
        resource_version="1",
        labels={},
        memory_capacity=128 * GIB,
        memory_allocatable=128 * GIB,
        cpu_capacity=1000,
        cpu_allocatable=1000,
    )
    made = compute(node, Resource.MEMORY, OversellMemory(reclaim_percent=75), status, sums)
    assert made.result == (128 * 75 // 100 - 30) * GIB


SHAPES = {
    "active page cache of 40 GiB": (
        Machine(64 * GIB, Bytes(anon=8 * GIB), {A: Bytes(anon=8 * GIB, active=40 * GIB)}, kept=GIB),
        17 * GIB,
    ),
    "inactive page cache": (Machine(64 * GIB, Bytes(anon=8 * GIB), {A: Bytes(anon=GIB, inactive=50 * GIB)}), 9 * GIB),
    "shared memory": (Machine(64 * GIB, Bytes(anon=8 * GIB), {A: Bytes(shared=48 * GIB)}), 56 * GIB),
    "swapped out": (
        Machine(64 * GIB, Bytes(anon=8 * GIB), {A: Bytes(anon=8 * GIB, swap=48 * GIB)}, swap=64 * GIB),
        16 * GIB,
    ),
    "kernel memory that is half reclaimable": (
        Machine(64 * GIB, Bytes(anon=8 * GIB), {A: Bytes(anon=GIB)}, slab=20 * GIB),
        19 * GIB,
    ),
    "huge pages set aside": (Machine(64 * GIB, Bytes(anon=8 * GIB), {A: Bytes(anon=GIB)}, huge=48 * GIB), 57 * GIB),
    "free memory that the kernel keeps": (Machine(64 * GIB, pods={A: Bytes(anon=50 * GIB)}, kept=6 * GIB), 56 * GIB),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_v1_and_v2_judge_a_machine_alike(tree, proc, shape):
    machine, in_use = SHAPES[shape]
    stand(tree, proc, machine)
    sample, _ = read(tree, proc)
    assert sample.unavailable == Unavailable(in_use)
    spec = NodeColocationSpec(
        enabled=True,
        policy=PolicyRef(name="p"),
        capacity=Capacity(cpu=4000, memory=machine.total),
        pods=(BePod(uid=A, cpu_request=1000),),
    )
    state = watch(spec, sample, {}, Pressure(), EvictionWatch())
    assert (state.over_since is not None) is (in_use * 100 >= machine.total * 85)
    frees = sample.pods[0].unavailable.amount > 0
    assert state.reclaim == (A if state.over_since is not None and frees else None)


def test_a_nested_node_is_judged_by_its_own_group_not_by_the_hosts_meminfo(tree, proc):
    stand(tree, proc, Machine(64 * GIB, Bytes(anon=2 * GIB), {A: Bytes(anon=GIB, active=9 * GIB)}), nested=True)
    (proc / "meminfo").write_text(Machine(64 * GIB, Bytes(anon=60 * GIB)).meminfo())
    sample, window = read(tree, proc)
    assert sample.unavailable == Unavailable(3 * GIB)
    assert sample.memory == Use(12 * GIB)
    assert window.system.usage().memory == 2 * GIB


def test_the_pod_that_frees_most_leaves_first_and_page_cache_frees_nothing(tree, proc):
    pods = {A: Bytes(anon=2 * GIB, active=30 * GIB), B: Bytes(anon=4 * GIB)}
    stand(tree, proc, Machine(64 * GIB, Bytes(anon=27 * GIB), pods))
    sample, _ = read(tree, proc)
    spec = NodeColocationSpec(
        enabled=True,
        policy=PolicyRef(name="p"),
        capacity=Capacity(cpu=4000, memory=36 * GIB),
        pods=tuple(BePod(uid=uid, cpu_request=1000) for uid in pods),
    )
    assert watch(spec, sample, {}, Pressure(), EvictionWatch()).reclaim == B


@pytest.mark.parametrize("line", ["MemTotal", "MemFree", "Inactive(file)", "MemAvailable", "SwapFree"])
def test_a_line_that_is_missing_takes_only_what_needs_it_away(tree, proc, line):
    stand(tree, proc, Machine(64 * GIB, Bytes(anon=GIB), {A: Bytes(anon=GIB)}, swap=GIB))
    text = (proc / "meminfo").read_text().splitlines(keepends=True)
    (proc / "meminfo").write_text("".join(row for row in text if not row.startswith(f"{line}:")))
    sample, _ = read(tree, proc)
    assert (sample.memory is None) is (line != "MemAvailable")
    assert (sample.unavailable is None) is (line in ("MemTotal", "MemAvailable"))


def test_the_two_quantities_cannot_be_mixed():
    with pytest.raises(TypeError):
        assert Use(1) < Unavailable(2)
    with pytest.raises(TypeError):
        Use(3) - Unavailable(2)
    assert Use(1) != Unavailable(1)
