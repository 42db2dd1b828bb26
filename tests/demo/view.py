"""What the demo shows: a table that refreshes in place, and the summary. Pure: data in, text out."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.demo.latency import quantile

COLUMNS = ("node", "capacity", "online", "published", "BE uses", "gate", "BE pods", "p50 ms", "p99 ms")


@dataclass
class Sample:
    """One node at one moment. CPU in millicores."""

    node: str
    at: float
    capacity: int
    online: int
    published: int | None
    be_used: int
    gate_open: bool
    be_pods: int
    reason: str


@dataclass
class Phase:
    """A stretch of the demo: CPU seconds integrated from samples, and the service's latencies."""

    name: str
    seconds: float = 0.0
    online_seconds: float = 0.0
    be_seconds: float = 0.0
    latencies: Counter[int] = field(default_factory=Counter)


def sample(result: dict[str, Any], at: float) -> Sample:
    """From an explanation (docs/explain.schema.json)."""
    cpu = result.get("cpu") or {}
    terms = {term["name"]: term["value"] for term in cpu.get("terms", ())}
    return Sample(
        node=result["node"],
        at=at,
        capacity=terms.get("capacity", 0),
        online=-terms.get("online", 0),
        published=cpu.get("onNode"),
        be_used=result.get("beCpuUsed") or 0,
        gate_open=result["gate"]["open"],
        be_pods=result["bePods"],
        reason=result["reason"],
    )


def integrate(phase: Phase, before: Sequence[Sample], now: Sequence[Sample]) -> None:
    """Add what the nodes did between two looks (trapezoids)."""
    earlier = {s.node: s for s in before}
    for later in now:
        if (first := earlier.get(later.node)) is None:
            continue
        seconds = later.at - first.at
        phase.online_seconds += (first.online + later.online) / 2000 * seconds
        phase.be_seconds += (first.be_used + later.be_used) / 2000 * seconds


def table(samples: Sequence[Sample], recent: dict[str, Counter[int]], width: int) -> str:
    """The table; reasons are folded below the row they belong to when the terminal is narrow."""
    rows = []
    for s in samples:
        latency = recent.get(s.node, Counter())
        rows.append(
            [
                s.node,
                f"{s.capacity:,}m",
                f"{s.online:,}m",
                "-" if s.published is None else f"{s.published:,}m",
                f"{s.be_used:,}m",
                "open" if s.gate_open else "closed",
                str(s.be_pods),
                _ms(quantile(latency, 0.5)),
                _ms(quantile(latency, 0.99)),
            ]
        )
    heads = COLUMNS
    sizes = (
        [max(len(heads[i]), *(len(row[i]) for row in rows)) for i in range(len(heads))]
        if rows
        else [len(h) for h in heads]
    )

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            c.ljust(n) if i == 0 else c.rjust(n) for i, (c, n) in enumerate(zip(cells, sizes, strict=True))
        )

    out = [line(heads)]
    for row, s in zip(rows, samples, strict=True):
        out.append(line(row))
        out += textwrap.wrap(s.reason, max(40, width - 4), initial_indent="    ", subsequent_indent="    ")
    return "\n".join(text[:width] for text in out)


def summary(alone: Phase, beside: Phase, finished: int) -> str:
    """What was gained, and what it cost the service. Figures as measured in this run."""
    more = 100 * beside.be_seconds / beside.online_seconds if beside.online_seconds else 0.0

    def cost(q: float) -> str:
        before, after = quantile(alone.latencies, q), quantile(beside.latencies, q)
        return f"{_ms(before)} ms alone, {_ms(after)} ms beside offline work"

    return "\n".join(
        (
            f"online work alone:     {alone.online_seconds:6.1f} CPU s in {alone.seconds:.0f} s",
            f"online work together:  {beside.online_seconds:6.1f} CPU s in {beside.seconds:.0f} s",
            f"offline work beside:   {beside.be_seconds:6.1f} CPU s, {finished} batch pods finished:"
            f" {more:.0f} % more work on the same nodes",
            f"service p50:           {cost(0.5)}",
            f"service p99:           {cost(0.99)}",
            f"requests:              {alone.latencies.total():,} alone, {beside.latencies.total():,} beside it",
            "Nodes, control plane and load share this machine's cores: milliseconds at p99 are partly its noise.",
        )
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
