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
    """Number of ways of the last-level cache."""
    least_ways: int = 1
    bandwidth: Mapping[str, int] = {}
    """What 100 % of memory bandwidth is, by domain; domains of which that is not known are not in it."""
    least_bandwidth: int = 10
    bandwidth_step: int = 10
    """In the unit of ``bandwidth``, both."""


def schemata(cache: Cache, hardware: Hardware) -> tuple[str, ...]:
    """The lines of the group: low, contiguous ways of the cache and a part of the bandwidth, at least the minimum."""
    lines = []
    for name, domains in hardware.domains.items():
        values: dict[str, str] = {}
        if cache.l3_percent and hardware.ways and _CACHE.fullmatch(name):
            ways = max(hardware.least_ways, hardware.ways * cache.l3_percent // 100)
            values = dict.fromkeys(domains, f"{(1 << min(ways, hardware.ways)) - 1:x}")
        elif cache.memory_bandwidth_percent and name == "MB":
            known = [domain for domain in domains if domain in hardware.bandwidth]
            values = {domain: _bandwidth(cache, hardware, hardware.bandwidth[domain]) for domain in known}
        if values:
            lines.append(f"{name}:" + ";".join(f"{domain}={value}" for domain, value in values.items()))
    return tuple(lines)


def _bandwidth(cache: Cache, hardware: Hardware, whole: int) -> str:
    step = max(1, hardware.bandwidth_step)
    return str(max(hardware.least_bandwidth, whole * cache.memory_bandwidth_percent // 100 // step * step))
