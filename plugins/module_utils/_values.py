# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""What argument specs cannot say of the roles' variables: ranges, and values that contradict each other."""

from __future__ import annotations

import re
import typing as t

DAY = 86400
RANGES: dict[str, tuple[int, int]] = {
    "colocation_manager_timeout": (1, DAY),
    "colocation_manager_drain_timeout": (1, DAY),
    "colocation_manager_lease": (30, 3600),
    "colocation_health_soak": (0, DAY),
    "colocation_health_pressure_rise": (1, 100),
    "colocation_max_fail_percentage": (0, 99),
    "colocation_preflight_memory_mib": (0, 1 << 30),
    "colocation_preflight_disk_mib": (0, 1 << 30),
}
SERIAL = ("colocation_waves", "colocation_serial")
WAVE = re.compile(r"[1-9][0-9]*|[1-9][0-9]?%|100%")

PART = re.compile(r"[0-9]+|[0-9]{1,2}%|100%")


def problems(values: t.Mapping[str, t.Any]) -> list[str]:
    """A sentence for each value that cannot be; those of a wrong type are left to the argument specs."""
    numbers = {name: _whole(values.get(name)) for name in RANGES}
    answer = [
        f"{name} is {number}; it must be from {RANGES[name][0]} to {RANGES[name][1]}."
        for name, number in numbers.items()
        if number is not None and not RANGES[name][0] <= number <= RANGES[name][1]
    ]
    return answer + sick(values.get("colocation_max_sick_nodes")) + [problem for name in SERIAL for problem in serial(name, values.get(name))]


def differing(values: t.Mapping[str, t.Sequence[t.Any]], host: str, first: str) -> list[str]:
    """A sentence for each variable of which two hosts say something else, where a play can only go by one."""
    return [
        f"{name} is {here} for {host} and {there} for {first}, and a play can go by one only. Set it for all of colocation_nodes."
        for name, (here, there) in values.items()
        if here != there
    ]


def part(value: t.Any, whole: int) -> int:
    """A number, or a percentage of a whole, rounded up."""
    text = str(value)
    return -(-int(text[:-1]) * whole // 100) if text.endswith("%") else int(text)


def sick(value: t.Any) -> list[str]:
    if value is None or (not isinstance(value, bool) and PART.fullmatch(str(value))):
        return []
    return [f"colocation_max_sick_nodes is {value}; it must be a number of nodes, or a part of them from 0% to 100%."]


def serial(name: str, value: t.Any) -> list[str]:
    """A play's C(serial)."""
    if value is None:
        return []
    each = value if isinstance(value, list) else [value]
    bad = [w for w in each if isinstance(w, bool) or not WAVE.fullmatch(str(w))]
    if bad or not each:
        what = ", ".join(str(w) for w in bad) or "empty"
        return [f"{name}: {what}: a wave is a number of hosts from 1, or a part of them from 1% to 100%."]
    return []


def _whole(value: t.Any) -> int | None:
    try:
        return None if isinstance(value, bool) else int(str(value))
    except ValueError:
        return None
