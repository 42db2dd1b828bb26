"""rubik's own settings, as a policy gives them: defaults and ranges are rubik's (2.0.x)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Share = Annotated[int, Meta(ge=10, le=100)]
Milliseconds = Annotated[int, Meta(ge=10, le=10_000)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class QuotaTurbo(Struct, frozen=True, kw_only=True, rename="camel"):
    """CPU limits of pods with volcano.sh/quota-turbo are raised while the node is idle."""

    high_water_mark: Annotated[int, Meta(ge=0, le=99, description="Percent of node CPU: raised quotas fall.")] = 60
    alarm_water_mark: Annotated[int, Meta(ge=1, le=100, description="Percent of node CPU: they fall fast.")] = 80
    sync_interval: Annotated[int, Meta(ge=100, le=10_000, description="Milliseconds between two looks.")] = 100


class Levels(Struct, frozen=True, kw_only=True, rename="camel"):
    """Percent of what there is, for pods of each volcano.sh/cache-limit."""

    low: Share = 20
    mid: Share = 30
    high: Share = 50


class DynCache(Struct, frozen=True, kw_only=True, rename="camel"):
    """Last-level cache and memory bandwidth of offline pods, by resctrl."""

    default_limit_mode: Annotated[
        Literal["static", "dynamic"], Meta(description="Of pods that ask for no level; static: no bound.")
    ] = "static"
    adjust_interval: Annotated[Milliseconds, Meta(description="Milliseconds between two adjustments.")] = 1000
    perf_duration: Annotated[Milliseconds, Meta(description="Milliseconds of measuring online pods.")] = 1000
    l3_percent: Levels = Levels()
    mem_band_percent: Levels = Levels(low=10)


class Psi(Struct, frozen=True, kw_only=True, rename="camel"):
    """rubik itself evicts offline pods while online ones wait (instead of evict)."""

    interval: Annotated[int, Meta(ge=10, le=30, description="Seconds between two looks.")] = 10
    avg10_threshold: Annotated[int, Meta(ge=5, le=100, description="Percent of PSI some avg10.")] = 5
    resource: Annotated[
        tuple[Literal["cpu", "memory", "io"], ...], Meta(min_length=1, max_length=3, description="What they wait for.")
    ] = ("cpu", "memory", "io")


class CpuEvict(Struct, frozen=True, kw_only=True, rename="camel"):
    """rubik itself evicts offline pods from a node with busy CPUs (instead of evict.cpu)."""

    threshold: Annotated[int, Meta(ge=1, le=99, description="Percent of node CPU.")] = 60
    interval: Annotated[int, Meta(ge=1, le=3600, description="Seconds between two looks.")] = 1
    windows: Annotated[int, Meta(ge=1, le=3600, description="Seconds it must last: a multiple of interval.")] = 2
    cooldown: Annotated[int, Meta(ge=1, le=2**31 - 1, description="Seconds between two evictions.")] = 20


class MemoryEvict(Struct, frozen=True, kw_only=True, rename="camel"):
    """rubik itself evicts offline pods from a node with full memory (instead of evict.memory)."""

    threshold: Annotated[int, Meta(ge=1, le=99, description="Percent of node memory.")]
    interval: Annotated[int, Meta(ge=1, le=3600, description="Seconds between two looks.")] = 1
    cooldown: Annotated[int, Meta(ge=1, le=2**31 - 1, description="Seconds between two evictions.")] = 4


class DiskModel(Struct, frozen=True, kw_only=True, rename="camel"):
    """A disk's linear cost model, as the kernel's tools/cgroup/iocost_coef_gen.py prints it."""

    dev: Annotated[str, Meta(pattern="^[a-z][a-z0-9]*$", max_length=32, description="A whole disk, such as sda.")]
    rbps: Positive
    rseqiops: Positive
    rrandiops: Positive
    wbps: Positive
    wseqiops: Positive
    wrandiops: Positive


class Net(Struct, frozen=True, kw_only=True, rename="camel"):
    """Network bandwidth of offline pods: low while online ones use more than the waterline, else high."""

    waterline: Annotated[int, Meta(ge=20, le=9999 * 1024, description="MB a second.")]
    bandwidth_low: Annotated[int, Meta(ge=1, le=9999 * 1024, description="MB a second.")]
    bandwidth_high: Annotated[int, Meta(ge=1, le=9999 * 1024, description="MB a second.")]


class Rubik(Struct, frozen=True, kw_only=True, rename="camel"):
    """What rubik does beside preemption of CPU (suppress.cpu.mode auto or idle); a feature is on when it is given."""

    log_level: Annotated[Literal["debug", "info", "warn", "error"], Meta(description="Of rubik.")] = "info"
    preempt_memory: Annotated[bool, Meta(description="Offline memory is reclaimed, and killed, first.")] = True
    preempt_net: Net | None = None
    quota_turbo: QuotaTurbo | None = None
    quota_burst: Annotated[bool, Meta(description="Bursts by annotation volcano.sh/quota-burst-time.")] = False
    dyn_cache: DynCache | None = None
    dyn_memory: Annotated[bool, Meta(description="memory.high of offline pods follows the node's free memory.")] = False
    psi: Psi | None = None
    cpu_evict: CpuEvict | None = None
    memory_evict: MemoryEvict | None = None
    io_cost: Annotated[tuple[DiskModel, ...], Meta(max_length=16, description="Disks to share by cost.")] = ()
    io_limit: Annotated[bool, Meta(description="Bounds by annotation volcano.sh/blkio-limit.")] = False
    cpi: Annotated[bool, Meta(description="Offline pods that slow online ones down are throttled.")] = False


CEL_RULES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "QuotaTurbo": (
        (
            "self.highWaterMark < self.alarmWaterMark",
            "rubik.quotaTurbo.highWaterMark must be smaller than rubik.quotaTurbo.alarmWaterMark",
        ),
    ),
    "Levels": (("self.low <= self.mid && self.mid <= self.high", "low, mid and high must not fall"),),
    "CpuEvict": (
        ("self.windows % self.interval == 0", "rubik.cpuEvict.windows must be a multiple of rubik.cpuEvict.interval"),
    ),
    "Net": (
        (
            "self.bandwidthLow < self.bandwidthHigh",
            "rubik.preemptNet.bandwidthLow must be smaller than rubik.preemptNet.bandwidthHigh",
        ),
    ),
    "Rubik": (
        (
            "!(has(self.quotaTurbo) && self.quotaTurbo != null && self.quotaBurst)",
            "rubik.quotaTurbo and rubik.quotaBurst both set the quota of online pods: give one of them",
        ),
    ),
}
