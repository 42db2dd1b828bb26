"""Replay usage traces through our predictor and the rules of others: violations, their severity, savings.

A trace is a folder or a tar of text files, one a pod: a line a step of five minutes, with the CPU, or CPU and memory,
in percent of what the pod asked for. Pods of one folder are put together into nodes. A violation is a moment whose
peak over the coming hour was above what was foretold; savings are what could be sold, in percent of the requests.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from colocation.cli.common import CliError, fail, show, table
from colocation.predict.histogram import CPU, MEMORY
from colocation.predict.peak import CPU_PERCENT, MEMORY_PERCENT
from colocation.predict.rules import RULES, Node
from colocation.predict.simulate import Outcome, simulate

EXAMPLES: Final = """\
examples:
  colocation simulate --trace usage.tar.gz               a table of all rules
  colocation simulate --trace usage/ --nodes 0 -o json   every pod of the trace, and the whole curves
"""
RATES: Final = (0.01, 0.05)
_HEAD: Final = ("RULE", "MARGIN", "VIOLATIONS", "SEVERITY", "SAVINGS", "SAVINGS AT 1%", "AT 5%")
_REQUEST: Final = {"cpu": 4000, "memory": 16 * 2**30}
"""What each pod is taken to have asked for; only the histogram's finest bucket depends on it."""
_SHORTEST: Final = 48
_LARGEST: Final = 10 * 2**20

Pod = tuple[list[float], ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation simulate``."""
    add = parser.add_argument
    add("--trace", required=True, type=Path, metavar="PATH", help="folder or tar archive of usage files")
    add("--pods-per-node", type=_positive, default=20, metavar="N", help="pods put together (default: %(default)s)")
    add("--nodes", type=int, default=40, metavar="N", help="at most so many, drawn by --seed; 0: all (default: 40)")
    add("--warm-up", type=_positive, default=24, metavar="STEPS", help="learn only, first (default: %(default)s)")
    add("--horizon", type=_positive, default=12, metavar="STEPS", help="how far a peak counts (default: %(default)s)")
    add("--seed", type=int, default=0, help="which pods share a node (default: %(default)s)")
    add("-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """Read, replay, print."""
    try:
        nodes = _nodes(read(args.trace), args)
    except (CliError, OSError, tarfile.TarError) as error:
        return fail(error)
    told: dict[str, Any] = {"trace": args.trace.name, "nodes": len(nodes), "podsPerNode": args.pods_per_node}
    for column, resource in enumerate(("cpu", "memory")[: min(len(pod) for node in nodes for pod in node)]):
        outcomes = _replay(nodes, column, resource, args)
        told[resource] = [
            msgspec.to_builtins(one) | {"savingsAt": {str(rate): one.savings_at(rate) for rate in RATES}}
            for one in outcomes
        ]
        if args.output == "table":
            sys.stdout.write(f"{resource}: {len(nodes)} nodes of {args.pods_per_node} pods\n{render(outcomes)}")
    if args.output != "table":
        show(told, args.output)
    return 0


def render(outcomes: list[Outcome]) -> str:
    """The table for people."""
    rows = [list(_HEAD)]
    for one in outcomes:
        point = one.usual
        rows.append(
            [
                one.rule,
                f"{point.margin:g}",
                *(f"{100 * part:.2f}%" for part in (point.violations, point.severity, point.savings)),
                *("-" if (found := one.savings_at(rate)) is None else f"{100 * found:.2f}%" for rate in RATES),
            ]
        )
    return table(rows, frozenset(range(1, 7)))


def read(path: Path) -> Iterator[tuple[str, Pod]]:
    """(folder, use by resource) of each file. Raises CliError, OSError, tarfile.TarError."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield str(file.parent), _parse(str(file), file.read_bytes())
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.size <= _LARGEST and (content := archive.extractfile(member)) is not None:
                yield str(Path(member.name).parent), _parse(member.name, content.read())


def _parse(name: str, text: bytes) -> Pod:
    try:
        rows = [[float(word) for word in line.replace(b",", b" ").split()] for line in text.splitlines() if line]
        columns: Pod = tuple(list(column) for column in zip(*rows, strict=True))
        if not all(math.isfinite(value) for column in columns for value in column):
            raise ValueError("not a number")  # noqa: TRY301
    except ValueError as error:
        raise CliError(
            f"{name}: not a usage trace (one or two numbers a line, in percent): {str(error)[:200]}"
        ) from error
    if not 1 <= len(columns) <= 2:
        raise CliError(f"{name}: not a usage trace: {len(columns)} columns, not one (cpu) or two (cpu, memory)")
    return columns


def _nodes(files: Iterator[tuple[str, Pod]], args: argparse.Namespace) -> list[list[Pod]]:
    folders: dict[str, list[Pod]] = {}
    for folder, pod in files:
        if len(pod[0]) >= max(_SHORTEST, args.warm_up + args.horizon + 1):
            folders.setdefault(folder, []).append(pod)
    draw = random.Random(args.seed)  # noqa: S311 - which pods share a node is no secret
    nodes = []
    for pods in folders.values():
        draw.shuffle(pods)
        size = args.pods_per_node
        nodes += [pods[i : i + size] for i in range(0, len(pods) - size + 1, size)]
    if not nodes:
        raise CliError(f"{args.trace}: no folder has {args.pods_per_node} pods with enough steps; try --pods-per-node")
    if 0 < args.nodes < len(nodes):
        nodes = draw.sample(nodes, args.nodes)
    return nodes


def _replay(nodes: list[list[Pod]], column: int, resource: str, args: argparse.Namespace) -> list[Outcome]:
    request = _REQUEST[resource]
    scale, percent = (CPU, CPU_PERCENT) if resource == "cpu" else (MEMORY, MEMORY_PERCENT)
    groups = [
        (
            Node(len(pods), float(request * len(pods)), scale, percent),
            [[min(100.0, max(0.0, value)) * request / 100 for value in pod[column]] for pod in pods],
        )
        for pods in nodes
    ]
    last = [time.monotonic()]

    def progress(done: int, total: int) -> None:
        if done == total or time.monotonic() - last[0] >= 5:
            last[0] = time.monotonic()
            sys.stderr.write(f"{resource}: {done} of {total} nodes\n")

    return simulate(groups, RULES, warm_up=args.warm_up, horizon=args.horizon, progress=progress)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
