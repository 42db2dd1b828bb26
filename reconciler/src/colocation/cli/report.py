"""The cluster in one table: what every node has, uses and oversells, and what of it offline work uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final

from colocation.cli.common import CliError, add_asking, ask_manager, fail, show, table
from colocation.model import names
from colocation.model.quantity import human_bytes, human_millicores

EXAMPLES: Final = """\
examples:
  colocation report                    all nodes that take part
  colocation report -o json            the same for programs
"""
_HEAD: Final = (
    "NODE", "POLICY", "CPU", "USED", "BE-CPU", "PROMISED", "BE-USED",
    "MEMORY", "USED", "BE-MEMORY", "PROMISED", "BE-USED", "BE-PODS", "OPEN", "AGE", "WHY",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation report``."""
    add_asking(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, and print."""
    try:
        told = ask_manager(args, "/v1/report")
    except CliError as error:
        return fail(error)
    if args.output != "table":
        show(told, args.output)
    elif told["nodes"]:
        sys.stdout.write(render(told["nodes"]))
    else:
        sys.stdout.write(f"No node takes part. To add one: kubectl label node NODE {names.NODE_LABEL}=true\n")
    return 0


def render(nodes: list[dict[str, Any]]) -> str:
    """The table for people, with the sums below."""
    rows = [list(_HEAD)]
    for node in nodes:
        age = node["reportAgeSeconds"]
        rows.append(
            [
                node["node"],
                node["policy"] or "-",
                *_amounts(node["cpu"], human_millicores),
                *_amounts(node["memory"], human_bytes),
                str(node["bePods"]),
                "yes" if node["open"] else "no",
                "-" if age is None else f"{age:.0f}s",
                node["reason"],
            ]
        )
    if len(nodes) > 1:
        sums = [_sum([node[key] for node in nodes]) for key in ("cpu", "memory")]
        pods = str(sum(node["bePods"] for node in nodes))
        opened = f"{sum(node['open'] for node in nodes)}/{len(nodes)}"
        rows.append(
            ["all", "", *_amounts(sums[0], human_millicores), *_amounts(sums[1], human_bytes), pods, opened, "", ""]
        )
    return table(rows, frozenset(range(2, 13)))


def _amounts(one: dict[str, Any], say: Callable[[int], str]) -> list[str]:
    keys = ("capacity", "used", "oversold", "promised", "usedByBe")
    return ["-" if one[key] is None else say(one[key]) for key in keys]


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums of what is known; a column that nobody knows stays unknown."""
    sums: dict[str, Any] = {}
    for key in ("capacity", "used", "oversold", "promised", "usedByBe"):
        known = [row[key] for row in rows if row[key] is not None]
        sums[key] = sum(known) if known else None
    return sums
