"""A policy as rubik's config.json; what this node lacks for it; and which knobs are then rubik's and not ours.

The keys, their ranges and what each needs are those of rubik 2.0.x (pkg/services). A feature whose host requirement is
missing is left out: rubik would not start with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from colocation.model.report import Capabilities, NodeColocationSpec
from colocation.model.rubik import DynCache, Levels, Rubik

LEAST_SHARE: Final = 10
OWNED: Final[Mapping[str, frozenset[str]]] = {
    "preemption.cpu": frozenset({"cpu.idle"}),
    "quotaTurbo": frozenset({"cpu.burst"}),  # it moves the quotas that a burst is a part of
    "quotaBurst": frozenset({"cpu.burst"}),
    "dynCache": frozenset({"resctrl", "resctrl.bandwidth"}),
    "dynMemory": frozenset({"memory.high"}),
    "psi": frozenset({"evict.memory", "evict.cpu"}),
    "cpuevict": frozenset({"evict.cpu"}),
    "memoryevict": frozenset({"evict.memory"}),
    "ioCost": frozenset({"io.weight"}),
    "ioLimit": frozenset({"io.throttle"}),
    "cpi": frozenset({"cpu.quota"}),
}
"""What each feature of rubik does that the native engine would. Of be-cpu and be-memory limits it knows nothing."""
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "preemption.cpu": ("cpu.qos_level",),
    "preemption.memory": ("memory.qos_level", "vm.memcg_qos_enable"),
    "preemption.net": ("net.qos",),
    "quotaTurbo": ("cpu.quota",),
    "quotaBurst": ("cpu.burst",),
    "dynCache": ("resctrl", "resctrl.bandwidth", "perf"),
    "dynMemory": ("memory.high", "memory.high_async_ratio"),
    "psi": ("psi.v1",),
    "ioCost": ("blkio.cost",),
    "ioLimit": ("io.throttle",),
    "cpi": ("perf",),
}


class Plan(Struct, frozen=True):
    """The configuration of rubik on this node."""

    config: dict[str, Any]
    owned: frozenset[str] = frozenset()
    lacks: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """config.json."""
        return msgspec.json.format(msgspec.json.encode(self.config), indent=2).decode() + "\n"

    @property
    def features(self) -> tuple[str, ...]:
        """What it is to do."""
        return tuple(self.config["agent"]["enabledFeatures"])


def translate(spec: NodeColocationSpec, capabilities: Capabilities) -> Plan:
    """The plan for a node whose policy says engine rubik; for any other, one in which rubik does nothing."""
    wanted = _wanted(spec) if spec.enabled and spec.engine == "rubik" else {}
    lacks = []
    if wanted and capabilities.cgroup_version != 1:
        lacks.append("rubik knows cgroup v1 only: the native engine does what it can")
        wanted = {}
    kept: dict[str, Any] = {}
    for name, block in wanted.items():
        missing = [feature for feature in _NEEDS.get(name, ()) if feature not in capabilities.features]
        if missing:
            lacks.append(f"rubik {name}: no {', no '.join(missing)} here")
        else:
            kept[name] = block
    return Plan(
        config=_config(kept, spec.rubik or Rubik(), capabilities.cgroup_driver or "cgroupfs"),
        owned=frozenset().union(*(OWNED.get(name, frozenset()) for name in kept)),
        lacks=tuple(lacks),
    )


def _wanted(spec: NodeColocationSpec) -> dict[str, Any]:
    """Features by name, preemption by resource, each with its block of config.json (None: it has none)."""
    rubik, protect = spec.rubik or Rubik(), spec.protect
    asked: dict[str, Any] = {
        "preemption.cpu": spec.suppress.cpu.mode in ("auto", "idle"),
        "preemption.memory": rubik.preempt_memory,
        "preemption.net": rubik.preempt_net,
        "quotaTurbo": rubik.quota_turbo,
        "quotaBurst": rubik.quota_burst,
        "dynCache": rubik.dyn_cache or _cache(protect.resctrl.l3_percent, protect.resctrl.memory_bandwidth_percent),
        "dynMemory": (rubik.dyn_memory or protect.memory_high_percent) and {"policy": "fssr"},
        "psi": rubik.psi,
        "cpuevict": rubik.cpu_evict,
        "memoryevict": rubik.memory_evict,
        "ioCost": rubik.io_cost and [{"nodeName": "global", "config": [_disk(disk) for disk in rubik.io_cost]}],
        "ioLimit": rubik.io_limit,
        "cpi": rubik.cpi,
    }
    return {name: None if block is True else msgspec.to_builtins(block) for name, block in asked.items() if block}


def _disk(disk: Struct) -> dict[str, Any]:
    param = msgspec.to_builtins(disk)
    return {"dev": param.pop("dev"), "model": "linear", "param": param}


def _cache(l3_percent: int, bandwidth_percent: int) -> DynCache | None:
    """`protect.resctrl` in rubik's words: pods without an annotation move between a low share and the one asked for."""
    if not l3_percent and not bandwidth_percent:
        return None
    return DynCache(
        default_limit_mode="dynamic",
        l3_percent=_levels(l3_percent or 100, Levels()),
        mem_band_percent=_levels(bandwidth_percent or 100, Levels(low=LEAST_SHARE)),
    )


def _levels(high: int, usual: Levels) -> Levels:
    high = max(LEAST_SHARE, high)
    return Levels(low=min(usual.low, high), mid=min(usual.mid, high), high=high)


def _config(kept: Mapping[str, Any], rubik: Rubik, driver: str) -> dict[str, Any]:
    names = list(dict.fromkeys(name.partition(".")[0] for name in kept))
    config: dict[str, Any] = {
        "agent": {
            "logDriver": "stdio",
            "logLevel": rubik.log_level,
            "cgroupRoot": "/sys/fs/cgroup",
            "cgroupDriver": driver,
            "informerType": "apiserver",
            "enabledFeatures": names,
        }
    }
    resources = [name.partition(".")[2] for name in kept if name.startswith("preemption.")]
    if resources:
        config["preemption"] = {"resource": resources}
        if kept.get("preemption.net"):
            config["preemption"]["net"] = kept["preemption.net"]
    config |= {name: block for name, block in kept.items() if block is not None and "." not in name}
    return config
