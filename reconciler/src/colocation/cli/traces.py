"""Recorded usage: a folder or a tar of text files, one a pod, put together into nodes."""

from __future__ import annotations

import argparse
import math
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from colocation.cli.common import CliError

REQUEST: Final = {"cpu": 4000, "memory": 16 * 2**30}
"""What each pod is taken to have asked for: a trace is in percent of it."""
STEP_SECONDS: Final = 300.0
_SHORTEST: Final = 48
_LARGEST: Final = 10 * 2**20

Pod = tuple[list[float], ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which trace, and how it is put together."""
    add = parser.add_argument_group("recorded trace").add_argument
    add("--trace", type=Path, metavar="PATH", help="folder or tar archive of usage files")
    add("--pods-per-node", type=positive, default=20, metavar="N", help="pods put together (default: %(default)s)")
    add("--nodes", type=int, default=40, metavar="N", help="at most so many, drawn by --seed; 0: all (default: 40)")
    add("--warm-up", type=positive, default=24, metavar="STEPS", help="learn only, first (default: %(default)s)")
    add("--horizon", type=positive, default=12, metavar="STEPS", help="how far a peak counts (default: %(default)s)")
    add("--seed", type=int, default=0, help="which pods share a node (default: %(default)s)")


def read(path: Path) -> Iterator[tuple[str, Pod]]:
    """(folder, use by resource) of each file. Raises CliError, OSError, tarfile.TarError."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield str(file.parent), parse(str(file), file.read_bytes())
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.size <= _LARGEST and (content := archive.extractfile(member)) is not None:
                yield str(Path(member.name).parent), parse(member.name, content.read())


def nodes(args: argparse.Namespace) -> list[list[Pod]]:
    """The trace's pods by node. Raises what `read` raises."""
    return by_node(read(args.trace), args)


def by_node(files: Iterator[tuple[str, Pod]], args: argparse.Namespace) -> list[list[Pod]]:
    """Pods of one folder, so many a node."""
    folders: dict[str, list[Pod]] = {}
    for folder, pod in files:
        if len(pod[0]) >= max(_SHORTEST, args.warm_up + args.horizon + 1):
            folders.setdefault(folder, []).append(pod)
    draw = random.Random(args.seed)  # noqa: S311 - which pods share a node is no secret
    made = []
    for pods in folders.values():
        draw.shuffle(pods)
        size = args.pods_per_node
        made += [pods[i : i + size] for i in range(0, len(pods) - size + 1, size)]
    if not made:
        raise CliError(f"{args.trace}: no folder has {args.pods_per_node} pods with enough steps; try --pods-per-node")
    if 0 < args.nodes < len(made):
        made = draw.sample(made, args.nodes)
    return made


def positive(text: str) -> int:
    """For argparse: a whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def parse(name: str, text: bytes) -> Pod:
    """One file. Raises CliError."""
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
