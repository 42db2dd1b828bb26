"""The lines of a chart: from Prometheus where there is one that answers, else from the console's own memory."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from colocation.console import problems
from colocation.console.charts import CHARTS, QUERIES
from colocation.console.model import Chart, Line, SeriesQuery
from colocation.console.prometheus import LEAST_STEP, POINTS, Away, Prometheus
from colocation.console.ring import Ring
from colocation.console.snapshot import Snapshot

RANGES: Final = {
    "10m": 600, "30m": 1800, "1h": 3600, "3h": 10800, "6h": 21600, "24h": 86400, "3d": 259200, "7d": 604800,
    "14d": 1209600,
}  # fmt: skip
WORST: Final = 5
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_MEMORY: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "cpu": tuple((key, f"cpu.{key}") for key in ("capacity", "requested", "used", "published", "be_used")),
    "memory": tuple((key, f"memory.{key}") for key in ("capacity", "requested", "used", "published", "be_used")),
    "cpuPublished": (("published", "cpu.published"), ("allocated", "cpu.allocated")),
    "memoryPublished": (("published", "memory.published"), ("allocated", "memory.allocated")),
    "nodes": (("taking part", "labelled"), ("open", "open"), ("withdrawn", "withdrawn")),
    "evictions": (("asked for by agents", "eviction_requests"),),
    "nodeCpu": tuple((key, f"cpu.{key}") for key in ("requested", "used", "published", "be_used")),
    "nodeMemory": tuple((key, f"memory.{key}") for key in ("requested", "used", "published", "be_used")),
    "nodePublished": (("published", "cpu.published"), ("allocated", "cpu.allocated")),
    "nodeSuppression": (
        ("requested", "cpu.allocated"), ("allowed", "cpu.quota"), ("used", "cpu.be_used"), ("node", "cpu.used"),
    ),
    "nodePressure": (("cpu", "pressure.cpu"), ("memory", "pressure.memory")),
    "nodePods": (("pods", "be_pods"), ("held back", "throttled")),
}  # fmt: skip
"""By chart: a line's key, and what is remembered for it."""
_LABELS: Final = {"be_used": "used by best-effort pods"}

Lines = tuple[list[int], list[tuple[str, str, Sequence[float | None]]]]


class Charts:
    """Any thread may ask."""

    all: tuple[Chart, ...] = CHARTS
    ranges: tuple[str, ...] = tuple(RANGES)

    def __init__(
        self, ring: Ring, snapshot: Snapshot, source: Prometheus | None, wall: Callable[[], float] = time.time
    ) -> None:
        self._ring, self._snapshot, self._source, self._wall = ring, snapshot, source, wall
        self._by_id = {one.id: one for one in CHARTS}
        self.away_since: float | None = None
        """Since when Prometheus does not answer."""

    @property
    def prometheus(self) -> bool:
        """There is one."""
        return self._source is not None

    @property
    def away(self) -> bool:
        """There is one, and it does not answer."""
        return self.away_since is not None

    def series(self, query: SeriesQuery) -> dict[str, Any]:
        """Fields of the answer. Raises Trouble for a chart, a node or a range that there is not."""
        chart = self._by_id.get(query.chart)
        if chart is None:
            raise problems.malformed(f"no chart {query.chart!r}; there is {', '.join(self._by_id)}", "chart")
        if query.range not in RANGES:
            raise problems.malformed(f"no range {query.range!r}; there is {', '.join(RANGES)}", "range")
        if chart.scope == "node" and not _NAME.fullmatch(query.node):
            raise problems.malformed(f"the chart {chart.id} is about one node: say which", "node")
        end = self._wall()
        start = end - RANGES[query.range]
        found, kind, since = None, "memory", None
        if self._source is not None:
            try:
                found, kind = self._asked(self._source, chart, query.node, start, end), "prometheus"
                self.away_since = None
            except Away:
                self.away_since = self.away_since or self._wall()
        if found is None:
            found, since = self._remembered(chart, query.node, start, end), problems.rfc3339(self._ring.since)
        times, lines = found
        return {
            "chart": chart.id,
            "node": query.node,
            "range": query.range,
            "unit": chart.unit,
            "source": kind,
            "since": since,
            "times": tuple(times),
            "series": tuple(Line(key=key, label=label, values=tuple(values)) for key, label, values in lines),
        }

    def _asked(self, source: Prometheus, chart: Chart, node: str, start: float, end: float) -> Lines:
        step = max(LEAST_STEP, -(-int(end - start) // POINTS))
        last = int(end) // step * step  # all questions within a step are the same
        first = last - int(end - start) // step * step
        times = list(range(first, last + 1, step))
        lines: list[tuple[str, str, Sequence[float | None]]] = []
        for key, label, expression in QUERIES[chart.id]:
            text = expression.replace("$node", node).replace("$__rate_interval", f"{max(4 * step, 120)}s")
            for found in source.lines(text, first, last, step):
                words = _filled(label, found.labels)
                scale = 100 if chart.unit == "percent" else 1
                values = [None if (v := found.values.get(at)) is None else round(v * scale, 4) for at in times]
                lines.append((_filled(key, found.labels), words, values))
        return times, lines

    def _remembered(self, chart: Chart, node: str, start: float, end: float) -> Lines:
        scale = {"cores": 0.001, "percent": 0.01}.get(chart.unit, 1)
        if chart.id == "gain":
            return _thinned(*self._gain(start, end))
        if chart.id == "onlinePressure":
            return _thinned(*self._worst(start, end))
        wanted = _MEMORY[chart.id]
        keys = [key for _, key in wanted]
        if chart.scope == "node":
            try:
                times, values = self._ring.node(node, keys, start, end)
            except KeyError:
                raise problems.absent(f"the manager knows no node {node!r}") from None
        else:
            times, values = self._ring.cluster(keys, start, end)
        lines: list[tuple[str, str, Sequence[float | None]]] = [
            (key, _LABELS.get(key, key), [None if v is None else round(v * scale, 4) for v in line])
            for (key, _), line in zip(wanted, values, strict=True)
        ]
        if chart.id in ("nodeCpu", "nodeMemory"):
            whole = self._ring.capacity(node)[chart.id == "nodeMemory"] * scale
            lines.insert(0, ("capacity", "capacity", [whole] * len(times)))
        return _thinned(times, lines)

    def _gain(self, start: float, end: float) -> Lines:
        keys = ("cpu.be_used", "cpu.capacity", "memory.be_used", "memory.capacity")
        times, (cpu, all_cpu, memory, all_memory) = self._ring.cluster(keys, start, end)
        return times, [
            (
                key,
                key,
                [None if u is None or not c else round(100 * u / c, 4) for u, c in zip(used, whole, strict=True)],
            )
            for key, used, whole in (("cpu", cpu, all_cpu), ("memory", memory, all_memory))
        ]

    def _worst(self, start: float, end: float) -> Lines:
        """Pressure of the whole node: the manager's report has no other."""
        seen = self._snapshot.seen
        rows = [row for row in seen.rows if row.pressure_cpu is not None] if seen else []
        rows.sort(key=lambda row: -(row.pressure_cpu or 0))
        times: list[int] = []
        lines: list[tuple[str, str, Sequence[float | None]]] = []
        for row in rows[:WORST]:
            try:
                times, (line,) = self._ring.node(row.node, ("pressure.cpu",), start, end)
            except KeyError:
                continue
            lines.append((row.node, row.node, [None if v is None else v / 100 for v in line]))
        return times, lines


def _thinned(times: list[int], lines: list[tuple[str, str, Sequence[float | None]]]) -> Lines:
    """At most `POINTS` points: means of those between."""
    by = -(-len(times) // POINTS)
    if by <= 1:
        return times, lines
    return times[::by], [
        (key, label, [_mean(v[at : at + by]) for at in range(0, len(v), by)]) for key, label, v in lines
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None


def _filled(text: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text
