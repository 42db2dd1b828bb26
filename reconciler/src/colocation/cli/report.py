"""The cluster in one table: each node's capacity, requests, usage and published amount, and the gain.

REQUESTED: requests of online pods. USED: use of the whole node, mean of the last report. PUBLISHED: be-cpu and
be-memory on the Node. ALLOCATED: requests of bound best-effort pods. BE-USED: their use. GAIN: their use in percent of
capacity, over the last reporting window.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from colocation.cli.common import CliError, add_asking, ask_manager, fail, show, table
from colocation.model import names
from colocation.model.quantity import human_bytes, human_millicores

EXAMPLES: Final = """\
examples:
  colocation report                    all nodes that take part
  colocation report --watch            repeated every 5 s, until Ctrl-C
  colocation report -o csv             one line per node and resource, in millicores and bytes, for spreadsheets
  colocation report -o json            the same for programs
"""
_KEYS: Final = ("capacity", "onlineRequested", "used", "published", "allocated", "usedByBe")
_HEAD: Final = (
    "NODE", "POLICY", "OPEN", "AGE", "BE-PODS", "RESOURCE", "CAPACITY", "REQUESTED", "USED", "PUBLISHED", "ALLOCATED",
    "BE-USED", "GAIN", "WHY",
)  # fmt: skip
_SAY: Final[dict[str, Callable[[int], str]]] = {"cpu": human_millicores, "memory": human_bytes}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation report``."""
    parser.add_argument(
        "-w", "--watch", nargs="?", type=float, const=5.0, metavar="SECONDS", help="print it again every SECONDS (5)"
    )
    add_asking(parser, "csv")


def run(args: argparse.Namespace) -> int:
    """Ask, and print; with --watch again and again."""
    while True:
        try:
            text = _text(ask_manager(args, "/v1/report"), args.output)
        except CliError as error:
            if args.watch is None:
                return fail(error)
            text = f"colocation: {error}\n"  # it may be back the next time
        if args.watch is None:
            sys.stdout.write(text)
            return 0
        if sys.stdout.isatty():
            sys.stdout.write("\033[H\033[2J")
        sys.stdout.write(f"{time.strftime('%H:%M:%S')}\n{text}" if args.output == "table" else text)
        sys.stdout.flush()
        time.sleep(max(0.2, args.watch))


def _text(answer: dict[str, Any], form: str) -> str:
    if form == "csv":
        return as_csv(answer["nodes"])
    if form != "table":
        return show(answer, form)
    if answer["nodes"]:
        return render(answer["nodes"])
    return f"No node takes part. To add one: kubectl label node NODE {names.NODE_LABEL}=true\n"


def as_csv(nodes: list[dict[str, Any]]) -> str:
    """A line a node and resource; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([word.lower().replace("-", "_") for word in _HEAD])
    for node in nodes:
        for resource in _SAY:
            amount = node[resource]
            gain = _gain(amount)
            writer.writerow(
                [
                    node["node"], node["policy"], node["open"], node["reportAgeSeconds"], node["bePods"], resource,
                    *(amount[key] for key in _KEYS), None if gain is None else round(gain, 2), node["reason"],
                ]
            )  # fmt: skip
    return out.getvalue()


def render(nodes: list[dict[str, Any]]) -> str:
    """The table for people, with the sums below."""
    rows = [list(_HEAD)]
    for node in nodes:
        age = node["reportAgeSeconds"]
        head = [
            node["node"],
            node["policy"] or "-",
            "yes" if node["open"] else "no",
            "-" if age is None else f"{age:.0f}s",
            str(node["bePods"]),
        ]
        rows += _lines(head, {resource: node[resource] for resource in _SAY}, node["reason"])
    if len(nodes) > 1:
        head = ["all", "", f"{sum(n['open'] for n in nodes)}/{len(nodes)}", "", str(sum(n["bePods"] for n in nodes))]
        rows += _lines(head, {resource: _sum([node[resource] for node in nodes]) for resource in _SAY}, "")
    return table(rows, frozenset({3, 4, *range(6, 13)}))


def _lines(head: list[str], amounts: dict[str, dict[str, Any]], reason: str) -> list[list[str]]:
    lines = []
    for resource, say in _SAY.items():
        amount = amounts[resource]
        gain = _gain(amount)
        cells = ["-" if amount[key] is None else say(amount[key]) for key in _KEYS]
        lines.append([*head, resource, *cells, "-" if gain is None else f"{gain:.1f}%", reason])
        head, reason = [""] * len(head), ""
    return lines


def _gain(amount: dict[str, Any]) -> float | None:
    if amount["usedByBe"] is None or not amount["capacity"]:
        return None
    return float(100 * amount["usedByBe"] / amount["capacity"])


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums of the known values; a column without any stays unknown."""
    sums: dict[str, Any] = {}
    for key in _KEYS:
        known = [row[key] for row in rows if row[key] is not None]
        sums[key] = sum(known) if known else None
    return sums
