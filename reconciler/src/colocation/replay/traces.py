"""Recorded usage: a folder or a tar of text files, one a pod, put together into nodes."""

from __future__ import annotations

import math
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from colocation.replay.shape import Draw, Pod

_SHORTEST: Final = 48
_LARGEST: Final = 10 * 2**20


class TraceError(ValueError):
    """A trace that cannot be used, and why."""


def read(path: Path) -> Iterator[tuple[str, Pod]]:
    """(folder, use by resource) of each file. Raises TraceError, OSError, tarfile.TarError."""
    for folder, _, pod in named(path):
        yield folder, pod


def named(path: Path) -> Iterator[tuple[str, str, Pod]]:
    """(folder, file name, use by resource) of each file. Raises what `read` raises."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield str(file.parent), file.name, parse(str(file), file.read_bytes())
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.size <= _LARGEST and (content := archive.extractfile(member)) is not None:
                name = Path(member.name)
                yield str(name.parent), name.name, parse(member.name, content.read())


def nodes(path: Path, draw: Draw) -> list[list[Pod]]:
    """The trace's pods by node. Raises what `read` raises."""
    return by_node(read(path), draw, str(path))


def by_node(files: Iterator[tuple[str, Pod]], draw: Draw, name: str = "trace") -> list[list[Pod]]:
    """Pods of one folder, grouped into nodes of the given size."""
    folders: dict[str, list[Pod]] = {}
    for folder, pod in files:
        if len(pod[0]) >= max(_SHORTEST, draw.warm_up + draw.horizon + 1):
            folders.setdefault(folder, []).append(pod)
    dice = random.Random(draw.seed)  # noqa: S311 - which pods share a node is no secret
    groups = []
    for pods in folders.values():
        dice.shuffle(pods)
        size = draw.pods_per_node
        groups += [pods[i : i + size] for i in range(0, len(pods) - size + 1, size)]
    if not groups:
        raise TraceError(f"{name}: no folder has {draw.pods_per_node} pods with enough steps; try --pods-per-node")
    if 0 < draw.nodes < len(groups):
        groups = dice.sample(groups, draw.nodes)
    return groups


def parse(name: str, text: bytes) -> Pod:
    """One file. Raises TraceError."""
    try:
        rows = [[float(word) for word in line.replace(b",", b" ").split()] for line in text.splitlines() if line]
        columns: Pod = tuple(list(column) for column in zip(*rows, strict=True))
        if not all(math.isfinite(value) for column in columns for value in column):
            raise ValueError("not a number")  # noqa: TRY301
    except ValueError as error:
        raise TraceError(
            f"{name}: not a usage trace (one or two numbers a line, in percent): {str(error)[:200]}"
        ) from error
    if not 1 <= len(columns) <= 2:
        raise TraceError(f"{name}: not a usage trace: {len(columns)} columns, not one (cpu) or two (cpu, memory)")
    return columns
