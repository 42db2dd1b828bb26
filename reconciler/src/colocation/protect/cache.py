"""A share of last-level cache and memory bandwidth, as the lines of a resctrl group's schemata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from colocation.protect.optin import Cache

_CACHE: Final = re.compile(r"L3(CODE|DATA)?")


class Hardware(Struct, frozen=True):
    """What can be shared out on a machine."""

    domains: Mapping[str, tuple[str, ...]]
    """Resource (L3, MB ...) -> its domains, as schemata names them."""
    ways: int = 0
    """Of the last-level cache."""
    least_ways: int = 1
    least_bandwidth: int = 10
    bandwidth_step: int = 10
    """Percent, both."""


def schemata(cache: Cache, hardware: Hardware) -> tuple[str, ...]:
    """The lines of the group: the low ways of the cache, one run of them, and so much bandwidth; never none of it."""
    lines = []
    for name, domains in hardware.domains.items():
        value = ""
        if cache.l3_percent and hardware.ways and _CACHE.fullmatch(name):
            ways = max(hardware.least_ways, hardware.ways * cache.l3_percent // 100)
            value = f"{(1 << min(ways, hardware.ways)) - 1:x}"
        elif cache.memory_bandwidth_percent and name == "MB":
            step = max(1, hardware.bandwidth_step)
            value = str(max(hardware.least_bandwidth, cache.memory_bandwidth_percent // step * step))
        if value:
            lines.append(f"{name}:" + ";".join(f"{domain}={value}" for domain in domains))
    return tuple(lines)
