# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gain
short_description: Say what colocation brings, per node and for the cluster
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Adds up what M(openfuyao.colocation.colocation_info) returns as RV(openfuyao.colocation.colocation_info#module:report).
  - The gain of a resource is what best-effort pods use of it, in percent of capacity. It is use that would not be without
    them, as the command C(colocation report) counts it.
  - An unknown number is V(null), and is left out of sums.
options:
  _input:
    description:
      - The report.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Ask what the cluster oversells
  openfuyao.colocation.colocation_info:
  register: colocation

- name: Say what it brings
  ansible.builtin.debug:
    msg: "{{ (colocation.report | openfuyao.colocation.gain).table }}"
"""

RETURN = r"""
_value:
  description:
    - C(nodes) and C(cluster), each with C(cpu) in millicores and C(memory) in bytes, C(gainPercent) and C(usedPercent) in
      each; C(summary), a sentence; C(table), lines for people; C(csv), a line a node and resource, for spreadsheets.
  type: dict
"""

import csv
import io
import typing as t

JSON = t.Dict[str, t.Any]
RESOURCES = ("cpu", "memory")
SUMMED = ("capacity", "onlineRequested", "used", "published", "allocated", "usedByBe")
COLUMNS = ("capacity", "requested", "used", "published", "allocated", "used by BE", "gain")


def gain(report: list[JSON]) -> JSON:
    nodes = [{**row, **{name: _rated(row[name]) for name in RESOURCES}} for row in report]
    cluster: JSON = {
        "nodes": len(nodes),
        "open": sum(bool(row["open"]) for row in nodes),
        "onlinePods": sum(row["onlinePods"] for row in nodes),
        "bePods": sum(row["bePods"] for row in nodes),
        **{name: _rated(_sum([row[name] for row in nodes])) for name in RESOURCES},
    }
    result = {"schema": "colocation.openfuyao.com/gain/v1", "nodes": nodes, "cluster": cluster}
    return {**result, "table": _table(nodes, cluster), "csv": _csv(nodes), "summary": _summary(cluster)}


def _summary(cluster: JSON) -> str:
    if not cluster["nodes"]:
        return "No node takes part yet."
    parts = [
        f"an unknown part of its {name}" if value is None else f"{value:.1f} % of its {name}"
        for name in RESOURCES
        for value in [cluster[name]["gainPercent"]]
    ]
    whose = "1 node" if cluster["nodes"] == 1 else f"{cluster['nodes']} nodes"
    return f"The cluster's gain ({whose}): best-effort pods use {' and '.join(parts)}, which would not be used without them."


def _sum(rows: list[JSON]) -> JSON:
    known = {key: [row[key] for row in rows if row.get(key) is not None] for key in SUMMED}
    return {key: sum(values) if values else None for key, values in known.items()}


def _rated(amounts: JSON) -> JSON:
    return {
        **amounts,
        "gainPercent": _percent(amounts.get("usedByBe"), amounts["capacity"]),
        "usedPercent": _percent(amounts.get("used"), amounts["capacity"]),
    }


def _percent(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else round(100 * part / whole, 2)


def _table(nodes: list[JSON], cluster: JSON) -> list[str]:
    rows = [["", "BE pods", "", *COLUMNS]]
    for name, row in [*((row["node"], row) for row in nodes), ("all", cluster)]:
        for resource in RESOURCES:
            amounts = row[resource]
            head = [name, str(row["bePods"]), resource] if resource == RESOURCES[0] else ["", "", resource]
            percent = "-" if amounts["gainPercent"] is None else f"{amounts['gainPercent']:.1f} %"
            rows.append([*head, *(_say(resource, amounts[key]) for key in SUMMED), percent])
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(n) if i in (0, 2) else cell.rjust(n) for i, (cell, n) in enumerate(zip(row, wide))).rstrip()
        for row in rows
    ]


def _say(resource: str, value: int | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.2f}" if resource == "cpu" else f"{value / (1 << 30):.2f} Gi"


def _csv(nodes: list[JSON]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["node", "policy", "open", "be_pods", "resource", *map(_snake, SUMMED), "gain_percent", "reason"])
    for row in nodes:
        for name in RESOURCES:
            amounts = row[name]
            result = [_plain(row[key]) for key in ("node", "policy", "open", "bePods")]
            writer.writerow([*result, name, *(amounts[key] for key in SUMMED), amounts["gainPercent"], _plain(row["reason"])])
    return out.getvalue()


def _plain(value: t.Any) -> t.Any:
    """Other people's words as a spreadsheet's text, never as its formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"gain": gain}
