"""After the roll-out: what was foretold beside what the manager's own metrics say happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from colocation.assess.figures import Figures
from colocation.assess.prometheus import Prometheus
from colocation.assess.shape import STEP

_METRICS: Final = {"cpu": ("cpu_cores", 1000), "memory": ("memory_bytes", 1)}


class NothingPublishedError(Exception):
    """There is nothing to compare with."""


class Happened(Struct, kw_only=True, rename="camel"):
    """One resource of the cluster, millicores or bytes. Foretold from use before the date; the rest is since then."""

    foretold_p5: float
    foretold: float
    foretold_p95: float
    published: float
    published_p5: float
    allocated: float
    used: float
    """By best-effort pods."""

    @property
    def agrees(self) -> bool:
        """What was published on average lies where 90 % of the foretold lie."""
        return self.foretold_p5 <= self.published <= self.foretold_p95


class Since(Struct, kw_only=True, rename="camel"):
    """The comparison."""

    start: int
    """Unix seconds: foretold before, happened after."""
    end: int
    nodes: float
    """That published, on average."""
    cpu: Happened
    memory: Happened
    evictions: float


def moment(text: str) -> int:
    """A date, or date and time, as Unix seconds: the full hour before it, UTC by default. Raises ValueError."""
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp()) // 3600 * 3600


def compare(server: Prometheus, start: int, end: int, cpu: Figures, memory: Figures) -> Since:
    """Ask what happened between the two. Raises PrometheusError, NothingPublishedError."""
    published = _sum(server, "published_cpu_cores", start, end)
    if not published:
        raise NothingPublishedError(
            "Prometheus has no colocation_node_published_cpu_cores since then: is the manager scraped? "
            "docs/monitoring.md says how"
        )
    nodes = _values(server, "count(max by (node) (colocation_node_published_cpu_cores))", start, end)
    evictions = server.at(f"sum(increase(colocation_evictions_total[{end - start}s]))", end)
    return Since(
        start=start,
        end=end,
        nodes=_mean(nodes),
        cpu=_happened(server, "cpu", start, end, cpu),
        memory=_happened(server, "memory", start, end, memory),
        evictions=float(evictions[0].value[1]) if evictions and evictions[0].value else 0.0,
    )


def _happened(server: Prometheus, resource: str, start: int, end: int, foretold: Figures) -> Happened:
    unit, scale = _METRICS[resource]
    published = sorted(_sum(server, f"published_{unit}", start, end))
    return Happened(
        foretold_p5=foretold.published_p5,
        foretold=foretold.published,
        foretold_p95=foretold.published_p95,
        published=_mean(published) * scale,
        published_p5=published[max(0, len(published) * 5 // 100 - 1)] * scale if published else 0.0,
        allocated=_mean(_sum(server, f"allocated_{unit}", start, end)) * scale,
        used=_mean(_sum(server, f"be_used_{unit}", start, end)) * scale,
    )


def _sum(server: Prometheus, name: str, start: int, end: int) -> list[float]:
    return _values(server, f"sum(max by (node) (colocation_node_{name}))", start, end)


def _values(server: Prometheus, query: str, start: int, end: int) -> list[float]:
    return [float(value) for series in server.over(query, start + STEP, end, STEP) for _, value in series.values]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
