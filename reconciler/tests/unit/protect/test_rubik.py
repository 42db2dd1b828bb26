"""A policy in rubik's words: each feature, its host requirement, and the knobs that are no longer ours."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.model.policy import Protect, Resctrl, Suppress, SuppressCpu
from colocation.model.report import BePod, Capabilities, Capacity, NodeColocationSpec, OnlinePod, PolicyRef, Pressure
from colocation.model.rubik import (
    CpuEvict,
    DiskModel,
    DynCache,
    Levels,
    MemoryEvict,
    Net,
    Psi,
    QuotaTurbo,
    Rubik,
)
from colocation.protect.evict import EvictionWatch, watch
from colocation.protect.rubik import OWNED, translate
from colocation.protect.sample import PodSample, Sample, Unavailable
from colocation.protect.wanted import Knobs, decide

OPENEULER = (
    "blkio.cost",
    "cpu.burst",
    "cpu.idle",
    "cpu.qos_level",
    "cpu.quota",
    "io.throttle",
    "io.weight",
    "memory.high",
    "memory.high_async_ratio",
    "memory.limit",
    "memory.qos_level",
    "net.qos",
    "perf",
    "psi.v1",
    "resctrl",
    "resctrl.bandwidth",
    "vm.memcg_qos_enable",
)
DISK = DiskModel(dev="sda", rbps=1, rseqiops=2, rrandiops=3, wbps=4, wseqiops=5, wrandiops=6)
ALL = Rubik(
    preempt_net=Net(waterline=20, bandwidth_low=1, bandwidth_high=100),
    quota_turbo=QuotaTurbo(),
    dyn_cache=DynCache(),
    dyn_memory=True,
    psi=Psi(),
    cpu_evict=CpuEvict(),
    memory_evict=MemoryEvict(threshold=80),
    io_cost=(DISK,),
    io_limit=True,
    cpi=True,
)


def found(features=OPENEULER, version=1, driver="cgroupfs"):
    return Capabilities(kernel="k", cgroup_version=version, cgroup_driver=driver, features=features)


def spec(rubik=None, **more):
    fields = {"enabled": True, "engine": "rubik", "policy": PolicyRef(name="p"), "rubik": rubik}
    return NodeColocationSpec(**{**fields, **more})


def test_the_least_is_preemption_of_cpu_and_memory():
    plan = translate(spec(), found(driver="systemd"))
    assert json.loads(plan.text) == {
        "agent": {
            "logDriver": "stdio",
            "logLevel": "info",
            "cgroupRoot": "/sys/fs/cgroup",
            "cgroupDriver": "systemd",
            "informerType": "apiserver",
            "enabledFeatures": ["preemption"],
        },
        "preemption": {"resource": ["cpu", "memory"]},
    }
    assert plan.owned == {"cpu.idle"}
    assert plan.lacks == ()


def test_everything_at_once_in_rubiks_own_keys():
    plan = translate(spec(ALL), found())
    assert plan.lacks == ()
    config = json.loads(plan.text)
    names = "preemption quotaTurbo dynCache dynMemory psi cpuevict memoryevict ioCost ioLimit cpi"
    assert config["agent"]["enabledFeatures"] == names.split()
    assert config["preemption"] == {
        "resource": ["cpu", "memory", "net"],
        "net": {"waterline": 20, "bandwidthLow": 1, "bandwidthHigh": 100},
    }
    assert config["quotaTurbo"] == {"highWaterMark": 60, "alarmWaterMark": 80, "syncInterval": 100}
    assert config["dynCache"] == {
        "defaultLimitMode": "static",
        "adjustInterval": 1000,
        "perfDuration": 1000,
        "l3Percent": {"low": 20, "mid": 30, "high": 50},
        "memBandPercent": {"low": 10, "mid": 30, "high": 50},
    }
    assert config["dynMemory"] == {"policy": "fssr"}
    assert config["psi"] == {"interval": 10, "avg10Threshold": 5, "resource": ["cpu", "memory", "io"]}
    assert config["cpuevict"] == {"threshold": 60, "interval": 1, "windows": 2, "cooldown": 20}
    assert config["memoryevict"] == {"threshold": 80, "interval": 1, "cooldown": 4}
    param = {"rbps": 1, "rseqiops": 2, "rrandiops": 3, "wbps": 4, "wseqiops": 5, "wrandiops": 6}
    assert config["ioCost"] == [{"nodeName": "global", "config": [{"dev": "sda", "model": "linear", "param": param}]}]
    assert not {"ioLimit", "cpi", "quotaBurst"} & set(config), "these have no block"
    assert plan.owned == frozenset().union(*(OWNED[name] for name in OWNED))


@pytest.mark.parametrize(
    ("missing", "gone", "words"),
    [
        ("cpu.qos_level", "cpu", "rubik preemption.cpu: no cpu.qos_level here"),
        ("vm.memcg_qos_enable", "memory", "rubik preemption.memory: no vm.memcg_qos_enable here"),
        ("net.qos", "net", "rubik preemption.net: no net.qos here"),
        ("resctrl", "dynCache", "rubik dynCache: no resctrl here"),
        ("memory.high_async_ratio", "dynMemory", "rubik dynMemory: no memory.high_async_ratio here"),
        ("psi.v1", "psi", "rubik psi: no psi.v1 here"),
        ("blkio.cost", "ioCost", "rubik ioCost: no blkio.cost here"),
    ],
)
def test_what_the_host_lacks_is_left_out_and_said(missing, gone, words):
    plan = translate(spec(ALL), found(tuple(name for name in OPENEULER if name != missing)))
    assert plan.lacks == (words,)
    assert gone not in (*plan.features, *plan.config["preemption"]["resource"])
    assert len(plan.features) + len(plan.config["preemption"]["resource"]) == 12
    owned = {"cpu": "preemption.cpu", "dynCache": "dynCache", "dynMemory": "dynMemory"}.get(gone)
    assert not owned or not OWNED[owned] & plan.owned, "what rubik does not do stays ours"


def test_cgroup_v2_leaves_all_to_the_native_engine():
    plan = translate(spec(ALL), found(version=2))
    assert (plan.features, plan.owned) == ((), frozenset())
    assert plan.lacks == ("rubik knows cgroup v1 only: the native engine does what it can",)


@pytest.mark.parametrize("changes", [{"engine": "native"}, {"enabled": False}, {"engine": "none"}])
def test_a_policy_for_another_engine_gives_rubik_nothing_to_do(changes):
    plan = translate(spec(ALL, **changes), found())
    assert plan.features == ()
    assert plan.owned == frozenset()
    assert plan.lacks == ()


def test_the_policys_common_switches_are_translated():
    protect = Protect(memory_high_percent=80, resctrl=Resctrl(l3_percent=25, memory_bandwidth_percent=5))
    quota = Suppress(cpu=SuppressCpu(mode="quota"))
    plan = translate(spec(protect=protect, suppress=quota), found())
    assert plan.config["preemption"]["resource"] == ["memory"], "mode quota: no preemption of CPU"
    assert plan.config["dynMemory"] == {"policy": "fssr"}
    cache = plan.config["dynCache"]
    assert cache["defaultLimitMode"] == "dynamic"
    assert cache["l3Percent"] == {"low": 20, "mid": 25, "high": 25}
    assert cache["memBandPercent"] == {"low": 10, "mid": 10, "high": 10}, "rubik takes no less than 10"


levels = (
    st.lists(st.integers(10, 100), min_size=3, max_size=3)
    .map(sorted)
    .map(lambda v: Levels(low=v[0], mid=v[1], high=v[2]))
)
rubiks = st.builds(
    Rubik,
    preempt_memory=st.booleans(),
    quota_burst=st.booleans(),
    dyn_cache=st.none() | st.builds(DynCache, l3_percent=levels, mem_band_percent=levels),
    psi=st.none() | st.builds(Psi, interval=st.integers(10, 30), avg10_threshold=st.integers(5, 100)),
    memory_evict=st.none() | st.builds(MemoryEvict, threshold=st.integers(1, 99)),
    io_limit=st.booleans(),
    cpi=st.booleans(),
)


@given(rubiks, st.sets(st.sampled_from(OPENEULER)), st.integers(0, 100), st.integers(0, 100))
def test_whatever_is_asked_rubik_can_start_with_it(rubik, features, l3, bandwidth):
    protect = Protect(resctrl=Resctrl(l3_percent=l3, memory_bandwidth_percent=bandwidth))
    plan = translate(spec(rubik, protect=protect), found(tuple(features)))
    config = json.loads(plan.text)
    assert set(config) - {"agent"} <= set(config["agent"]["enabledFeatures"]), "no block without its feature"
    assert config.get("preemption", {"resource": ["x"]})["resource"], "rubik refuses an empty list"
    for share in ("l3Percent", "memBandPercent"):
        if "dynCache" in config:
            row = config["dynCache"][share]
            assert 10 <= row["low"] <= row["mid"] <= row["high"] <= 100
    lacking = {words.partition(":")[0].removeprefix("rubik ").partition(".")[0] for words in plan.lacks}
    assert not (lacking - {"preemption"}) & set(plan.features)


GIB = 1 << 30
BE = BePod(uid="be", cpu_request=1000, cpu_limit=1000, memory_limit=GIB)
NODE = Sample(
    at=100.0,
    seconds=1.0,
    cpu=900,
    unavailable=Unavailable(95 * GIB),
    memory_read=True,
    pods=(PodSample(uid="be", cpu=500, unavailable=Unavailable(GIB)), PodSample(uid="on", cpu=400)),
)


def test_the_native_engine_keeps_its_hands_off_what_rubik_owns_and_does_the_rest():
    protect = Protect(memory_high_percent=80, burst_percent=20)
    asked = spec(ALL, pods=(BE,), online=(OnlinePod(uid="on"),), protect=protect)
    alone = decide(asked, NODE, 4000, OPENEULER)
    assert alone.pods["be"].idle
    assert alone.pods["be"].extra.memory_high
    assert alone.online["on"].extra.burst_percent == 20
    plan = translate(asked, found())
    beside = decide(asked, NODE, 4000, OPENEULER, None, plan.owned)
    assert beside.pods == {"be": Knobs(memory=GIB)}, "rubik knows no be-memory limit; cpi has the quotas"
    assert not any(knobs != Knobs() for knobs in beside.online.values())
    assert "rubik sets the quotas" in beside.reason
    assert beside.lacks == ()


def test_without_cpi_the_be_cpu_limit_is_held_beside_rubik():
    asked = spec(Rubik(), pods=(BE,))
    beside = decide(asked, NODE, 4000, OPENEULER, None, translate(asked, found()).owned)
    assert beside.pods == {"be": Knobs(cpu=1000, memory=GIB)}
    assert beside.mode == "quota"


@pytest.mark.parametrize(
    ("rubik", "asks"),
    [(Rubik(), True), (Rubik(memory_evict=MemoryEvict(threshold=80)), False), (Rubik(psi=Psi()), False)],
)
def test_one_of_the_two_evicts_for_memory_never_both(rubik, asks):
    asked = spec(rubik, pods=(BE,), capacity=Capacity(cpu=4000, memory=100 * GIB))
    owned = translate(asked, found()).owned
    state = EvictionWatch()
    for at in (100.0, 105.0, 110.0, 115.0):
        state = watch(asked, msgspec.structs.replace(NODE, at=at), {}, Pressure(), state, owned)
    assert bool(state.requests) is asks
