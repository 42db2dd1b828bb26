"""The two Grafana dashboards of the chart, from a table of panels.

Manager series are the same from leader and standbys, hence `max by (node)`. Nothing here needs another exporter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

WIDTH, HEIGHT = 12, 8
_UNITS: Final = {"cpu": "cpu_cores", "memory": "memory_bytes"}
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """A graph: what it answers, its unit (Grafana's word), and legend -> PromQL."""

    title: str
    about: str
    unit: str
    queries: dict[str, str]


@dataclass(frozen=True)
class Dashboard:
    """A page of panels; ``node``: of one node, which is chosen above."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    node: bool = False

    def render(self) -> str:
        """The JSON that Grafana reads."""
        return json.dumps(self.body(), indent=1) + "\n"

    def body(self) -> dict[str, Any]:
        """As Grafana stores it."""
        variables: list[dict[str, Any]] = [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
        if self.node:
            query = "label_values(colocation_node_capacity_cpu_cores, node)"
            variables.append({"name": "node", "type": "query", "datasource": _SOURCE, "query": query, "refresh": 2})
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["colocation"],
            "schemaVersion": 39,
            "editable": False,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": variables},
            "panels": [_panel(number, panel) for number, panel in enumerate(self.panels)],
        }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "expr": expr, "legendFormat": legend}
        for at, (legend, expr) in enumerate(panel.queries.items())
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def _all(series: str, resource: str) -> str:
    """The sum over all nodes, in cores or bytes."""
    return f"sum(max by (node) (colocation_node_{series}_{_UNITS[resource]}))"


def _one(series: str, resource: str) -> str:
    """A panel about the chosen node, in cores or bytes."""
    return f'max(colocation_node_{series}_{_UNITS[resource]}{{node="$node"}})'


def _agent(series: str) -> str:
    return f'max(colocation_agent_{series}{{node="$node"}})'


def _quantile(part: float) -> str:
    rates = "sum by (le) (rate(colocation_report_to_node_seconds_bucket[$__rate_interval]))"
    return f"histogram_quantile({part}, {rates}) >= 0 or vector(0)"  # NaN while no report changed anything


_AGE: Final = "time() - max by (node) (colocation_node_report_timestamp_seconds)"
_USE: Final = ("capacity", "requested", "used", "published", "be_used")
_OFFER: Final = ("published", "headroom", "allocated")
_USE_TEXT: Final = (
    "What there is, what online pods request, what everything really uses, what is published for best-effort pods, and "
    "what they use of it."
)
_OFFER_TEXT: Final = "Headroom below allocated: closed to new best-effort pods until it grows again."


def _amounts(of: Callable[[str, str], str]) -> tuple[Panel, ...]:
    return (
        Panel("CPU: capacity, requested, used, published", _USE_TEXT, "short", {s: of(s, "cpu") for s in _USE}),
        Panel("Memory: capacity, requested, used, published", _USE_TEXT, "bytes", {s: of(s, "memory") for s in _USE}),
        Panel("CPU: published, headroom, allocated", _OFFER_TEXT, "short", {s: of(s, "cpu") for s in _OFFER}),
        Panel("Memory: published, headroom, allocated", _OFFER_TEXT, "bytes", {s: of(s, "memory") for s in _OFFER}),
    )


CLUSTER: Final = Dashboard(
    "colocation-cluster",
    "Colocation / Cluster",
    (
        *_amounts(_all),
        Panel(
            "Gain",
            "Share of the cluster that best-effort pods use: what would lie idle without them.",
            "percentunit",
            {
                "cpu": f"{_all('be_used', 'cpu')} / ({_all('capacity', 'cpu')})",
                "memory": f"{_all('be_used', 'memory')} / {_all('capacity', 'memory')}",
            },
        ),
        *(
            Panel(
                f"{title}: best-effort pods by namespace",
                "What bound best-effort pods request, and what they use, in each namespace.",
                unit,
                {
                    "{{namespace}} allocated": f"max by (namespace) (colocation_be_allocated_{_UNITS[resource]})",
                    "{{namespace}} used": f"max by (namespace) (colocation_be_used_{_UNITS[resource]})",
                },
            )
            for title, unit, resource in (("CPU", "short", "cpu"), ("Memory", "bytes", "memory"))
        ),
        Panel(
            "Nodes",
            "Published: open to new best-effort pods. Closed: running ones continue. Withdrawn: nothing published.",
            "short",
            {
                "taking part": "count(max by (node) (colocation_node_open))",
                "open": "sum(max by (node) (colocation_node_open))",
                "withdrawn": "sum(max by (node) (colocation_node_withdrawn))",
            },
        ),
        Panel(
            "Withdrawals by reason",
            "Nodes withdrawn after having been published.",
            "short",
            {"{{reason}}": "sum by (reason) (increase(colocation_withdrawals_total[$__rate_interval]))"},
        ),
        Panel(
            "Evictions",
            "Best-effort pods that the manager had evicted, by reason.",
            "short",
            {"{{reason}}": 'sum by (reason) (increase(colocation_evictions_total{outcome="ok"}[$__rate_interval]))'},
        ),
        Panel(
            "Suppression",
            "CPU that best-effort pods asked for, may use together now, and use.",
            "short",
            {
                "requested": "sum(colocation_agent_be_cpu_requested_cores)",
                "allowed": "sum(colocation_agent_be_cpu_allowed_cores)",
                "used": "sum(colocation_agent_be_cpu_cores)",
            },
        ),
        Panel(
            "Best-effort pods",
            "On which limits are held, and how many of them were held back in the last second.",
            "short",
            {"pods": "sum(colocation_agent_be_pods)", "held back": "sum(colocation_agent_be_pods_throttled)"},
        ),
        Panel(
            "Online pressure: the five worst nodes",
            "Largest share of time that an online pod waited for CPU (PSI some avg10).",
            "percentunit",
            {"{{node}}": 'topk(5, max by (node) (colocation_agent_online_pressure_ratio{resource="cpu"}))'},
        ),
        Panel(
            "Report age",
            "Since the last report of an agent arrived.",
            "s",
            {"oldest": f"max({_AGE})", "median": f"quantile(0.5, {_AGE})"},
        ),
        Panel(
            "From a report to the Node",
            "From the arrival of a report that changes a number to the Node patched; and the write that waits longest.",
            "s",
            {
                "p50": _quantile(0.5),
                "p99": _quantile(0.99),
                "oldest write": "max(colocation_writes_oldest_pending_seconds)",
            },
        ),
        Panel(
            "Watches",
            "Open watches of each resource, over all managers: a resource without one is not seen.",
            "short",
            {"{{resource}}": "sum by (resource) (colocation_watch_up)"},
        ),
        Panel(
            "Manager",
            "Leaders (1 is right), writes that wait, and its writes a second by outcome.",
            "short",
            {
                "leaders": "sum(colocation_leader)",
                "waiting": "max(colocation_writes_pending)",
                "writes {{kind}} {{outcome}}": (
                    "sum by (kind, outcome) (rate(colocation_writes_total[$__rate_interval]))"
                ),
            },
        ),
    ),
)

NODE: Final = Dashboard(
    "colocation-node",
    "Colocation / Node",
    (
        *_amounts(_one),
        Panel(
            "Suppression",
            "CPU that best-effort pods asked for, may use together now, and use; and what the whole node uses.",
            "short",
            {
                "requested": _agent("be_cpu_requested_cores"),
                "allowed": _agent("be_cpu_allowed_cores"),
                "used": _agent("be_cpu_cores"),
                "node": _agent("node_cpu_cores"),
            },
        ),
        Panel(
            "Best-effort pods",
            "On which limits are held, held back in the last second, and limits that the kernel refuses.",
            "short",
            {
                "pods": _agent("be_pods"),
                "held back": _agent("be_pods_throttled"),
                "refused": _agent("values_refused"),
                "not found": _agent("be_pods_not_found"),
            },
        ),
        Panel(
            "Pressure of the node",
            "Share of time in which some task waited (PSI some avg10); best-effort tasks count too.",
            "percentunit",
            {"{{resource}}": 'max by (resource) (colocation_agent_pressure_ratio{node="$node"})'},
        ),
        Panel(
            "Pressure of online pods",
            "The same of the online pod that waits most.",
            "percentunit",
            {"{{resource}}": 'max by (resource) (colocation_agent_online_pressure_ratio{node="$node"})'},
        ),
        Panel(
            "State",
            "Open: new best-effort pods are accepted. Withdrawn: nothing published, with the reason.",
            "short",
            {
                "open": 'max(colocation_node_open{node="$node"})',
                "withdrawn {{reason}}": 'max by (reason) (colocation_node_withdrawn{node="$node"})',
            },
        ),
        Panel(
            "Report age",
            "Since the agent's last report arrived.",
            "s",
            {"age": 'time() - max(colocation_node_report_timestamp_seconds{node="$node"})'},
        ),
        Panel(
            "Agent",
            "What it does a second: limits written, rounds that came late or failed, reports that did not arrive.",
            "short",
            {
                word: f'sum(rate(colocation_agent_{word}_total{{node="$node"}}[$__rate_interval]))'
                for word in ("writes", "overruns", "faults", "report_failures")
            },
        ),
    ),
    node=True,
)
