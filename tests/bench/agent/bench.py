# SPDX-License-Identifier: Apache-2.0
"""The agent's bench, in parts: up, cost, reaction, block (one block of arms, again and again), write, down.

What a part measured is kept in build/out/bench-agent, so that a long bench can be run in pieces, each beside a quiet
machine; `write` makes the page of whatever is there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tests.bench.agent import cost, reaction, report
from tests.bench.agent.interference import Row, Stage
from tests.bench.agent.node import BenchNode
from tests.bench.figures import Report
from tests.bench.plot import arms
from tests.lab.config import CLONE
from tests.lab.progress import step

T = TypeVar("T")
KEPT: Final = CLONE / "build/out/bench-agent"
PARTS: Final = ("up", "cost", "reaction", "block", "write", "down")


def run(*, full: bool) -> Report:
    """Everything, from nothing: a quarter of an hour after the first time. There is only one size."""
    shutil.rmtree(KEPT, ignore_errors=True)
    node = BenchNode()
    try:
        parts(["up", "cost", "reaction"], node)
        while report.Pairs(_load("interference", Row)).count < report.PAIRS and _blocks() < 2 * report.PAIRS:
            parts(["block"], node)
    finally:
        node.down()
    return page()


def parts(names: list[str], node: BenchNode) -> None:
    """Some parts, in this order."""
    for name in names:
        with step(f"bench agent: {name}"):
            if name in ("up", "down"):
                getattr(node, name)()
            elif name == "cost":
                _keep("cost", [cost.on_node(node), cost.made()], afresh=True)
            elif name == "reaction":
                _keep("reaction", reaction.run(node), afresh=True)
            elif name == "block":
                _keep("interference", Stage(node).block(_blocks()))


def page() -> Report:
    """The report of what has been measured so far."""
    pairs = report.Pairs(_load("interference", Row))
    figures = report.costs(_load("cost", cost.Cost)) + report.reactions(_load("reaction", reaction.Trial))
    figures += report.interference(pairs)
    return Report("The node agent", report.words(pairs), figures, draw=lambda to: arms(to, report.drawn(pairs)))


def _blocks() -> int:
    return len({row.block for row in _load("interference", Row)})


def _keep(name: str, rows: list[Any], *, afresh: bool = False) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{name}.jsonl"
    before = b"" if afresh or not path.exists() else path.read_bytes()
    path.write_bytes(before + b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _load(name: str, kind: type[T]) -> list[T]:
    path: Path = KEPT / f"{name}.jsonl"
    return [msgspec.json.decode(line, type=kind) for line in path.read_bytes().splitlines()] if path.exists() else []
