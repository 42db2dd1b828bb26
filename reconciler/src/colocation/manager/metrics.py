"""What the manager counts. Per-node series: at most 19 a labelled node, removed with it.

Names follow https://prometheus.io/docs/practices/naming/: base units (cores, bytes, seconds, ratios), one unit a name.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final, get_args

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from colocation import __version__
from colocation.budget import Evaluation, PodSums, ReportView, Withdrawal
from colocation.budget.shares import Share
from colocation.manager.node import NodeState
from colocation.model.facts import NodeFacts
from colocation.model.report import NODE_FULL, EvictionReason

REASONS: Final = (*get_args(EvictionReason), NODE_FULL)
"""Of evictions."""
_FAST: Final = (0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
_ANSWERED: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)


class Metrics:
    """One registry, made once a manager."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        ProcessCollector(registry=r)
        PlatformCollector(registry=r)
        Gauge("colocation_build_info", "Version of this manager.", ["version"], registry=r).labels(__version__).set(1)
        self.leader = Gauge("colocation_leader", "1 while this manager publishes.", registry=r)
        self.recompute = Histogram(
            "colocation_recompute_seconds", "Time to evaluate all nodes that were dirty.", buckets=_FAST, registry=r
        )
        self.outbox = Gauge("colocation_writes_pending", "Writes waiting or on their way.", registry=r)
        self.oldest = Gauge(
            "colocation_writes_oldest_pending_seconds",
            "How long the write that waits longest has waited; 0: none waits.",
            registry=r,
        )
        self.answered = Histogram(
            "colocation_report_to_node_seconds",
            "From the arrival of a report that changes a node's number to the Node patched.",
            buckets=_ANSWERED,
            registry=r,
        )
        self._watches = Gauge(
            "colocation_watch_up", "1 while the watch of this resource is open.", ["resource"], registry=r
        )
        self.inbox = Gauge("colocation_inbox_pending", "Changes seen and not yet taken in.", registry=r)
        self.writes = Counter("colocation_writes_total", "Writes by kind and outcome.", ["kind", "outcome"], registry=r)
        self.failures = Counter(
            "colocation_evaluation_failures_total", "Nodes that could not be evaluated.", registry=r
        )
        self.withdrawals = Counter(
            "colocation_withdrawals_total",
            "Nodes withdrawn after having been published, by reason.",
            ["reason"],
            registry=r,
        )
        for reason in Withdrawal:  # all are there from the start: a rate can be taken of the first one
            self.withdrawals.labels(reason)
        self.evictions = Counter(
            "colocation_evictions_total", "Evictions asked of the API server.", ["reason", "outcome"], registry=r
        )
        for reason in REASONS:
            self.evictions.labels(reason, "ok")
        self.bad_objects = Counter(
            "colocation_bad_objects_total", "Objects that could not be read.", ["resource"], registry=r
        )
        self.events = Counter("colocation_events_total", "Events by outcome.", ["outcome"], registry=r)
        self._reviews = Counter(
            "colocation_admission_reviews_total", "Pods that the webhook was asked about.", ["outcome"], registry=r
        )
        self.default_priority = Gauge(
            "colocation_admission_default_priority_mismatch",
            "1 while the PriorityClass with globalDefault is another than admission was installed for.",
            registry=r,
        )
        self._requests = Counter(
            "colocation_api_requests_total",
            "API requests; code 0: no answer.",
            ["verb", "resource", "code"],
            registry=r,
        )
        self._latency = Histogram(
            "colocation_api_request_seconds", "API latency (watches: until open).", ["verb", "resource"], registry=r
        )
        self._versions = Gauge(
            "colocation_decided_resource_version",
            "Newest resourceVersion of each watched resource that decisions rest on.",
            ["resource"],
            registry=r,
        )
        self._nodes = _Nodes()
        r.register(self._nodes)

    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """One API request (the hook of `colocation.kube.rest`)."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._latency.labels(verb, resource).observe(seconds)

    def decided_on(self, versions: Mapping[str, str]) -> None:
        """Everything up to these resourceVersions, by resource, is decided."""
        for resource, version in versions.items():
            if version.isdigit():
                self._versions.labels(resource).set(int(version))

    def watch(self, resource: str, *, is_open: bool) -> None:
        """The watch of a resource (plural) was opened, or is interrupted."""
        self._watches.labels(resource).set(is_open)

    def review(self, outcome: str) -> None:
        """One admission review: "ok", or the HTTP status of what could not be answered."""
        self._reviews.labels(outcome).inc()

    def node(self, node: NodeState, now: float) -> None:
        """One node's evaluation; ``now`` is the manager's clock."""
        evaluation, facts = node.evaluation, node.facts
        if evaluation is None or facts is None or (not facts.takes_part and facts.published.absent):
            self.forget(node.name)
            return
        arrived = node.report.arrived
        self._nodes.rows[node.name] = _NodeSeries(
            facts, evaluation, node.sums, node.report, None if arrived is None else time.time() - (now - arrived)
        )

    def forget(self, name: str) -> None:
        """The node is gone, or none of ours."""
        self._nodes.rows.pop(name, None)
        self._nodes.published.pop(name, None)
        self._nodes.left_out.pop(name, None)

    def left_out(self, name: str, pods: int) -> None:
        """Set the number of best-effort pods of a node that are not in the spec for its agent."""
        if pods:
            self._nodes.left_out[name] = pods
        else:
            self._nodes.left_out.pop(name, None)

    def leads(self, *, leads: bool) -> None:
        """This manager publishes, or does so no longer."""
        self.leader.set(leads)
        self._nodes.left_out.clear()

    def published(self, name: str) -> None:
        """A Node has been patched."""
        self._nodes.published[name] = time.time()


class _NodeSeries(Struct, frozen=True, gc=False):
    """What a node's series are made of; all of it is immutable, and held by the loop anyway."""

    facts: NodeFacts
    evaluation: Evaluation
    sums: PodSums | None
    report: ReportView
    reported: float | None


_PER_RESOURCE: Final = {
    "capacity": "What the node has.",
    "requested": "Requests of its online pods.",
    "used": "Use of everything on it, as last reported.",
    "published": "What it offers to best-effort pods now.",
    "headroom": "Smallest result of the last growAfterSeconds.",
    "allocated": "Requests of its bound best-effort pods.",
    "be_used": "Use of its best-effort pods, as last reported.",
}
_UNITS: Final = {"cpu_cores": 1000, "memory_bytes": 1}
"""How many of the budget's integers make one of the unit."""


class _Nodes(Collector):
    """The per-node series, made when they are asked for: nodes are decided far more often than they are scraped."""

    def __init__(self) -> None:
        self.rows: dict[str, _NodeSeries] = {}
        """Written by the loop's thread; read by the server's through a copy."""
        self.published: dict[str, float] = {}
        """When this manager last wrote the node's number (Unix time)."""
        self.left_out: dict[str, int] = {}
        """Best-effort pods that the agent cannot be sent; only the leader counts them."""

    def collect(self) -> Iterable[Metric]:
        """All series of all nodes. What is not known is absent, not 0."""
        families = {
            unit: [
                GaugeMetricFamily(f"colocation_node_{name}_{unit}", text, labels=["node"])
                for name, text in _PER_RESOURCE.items()
            ]
            for unit in _UNITS
        }
        is_open = GaugeMetricFamily("colocation_node_open", "1 while new BE pods may come.", labels=["node"])
        withdrawn = GaugeMetricFamily(
            "colocation_node_withdrawn", "1 while the node is withdrawn, with the reason.", labels=["node", "reason"]
        )
        reported = GaugeMetricFamily(
            "colocation_node_report_timestamp_seconds", "When the last report arrived (Unix time).", labels=["node"]
        )
        stale_after = GaugeMetricFamily(
            "colocation_node_report_stale_after_seconds",
            "Age at which the node's policy calls a report stale.",
            labels=["node"],
        )
        published = GaugeMetricFamily(
            "colocation_node_published_timestamp_seconds",
            "When this manager last wrote the node's number (Unix time).",
            labels=["node"],
        )
        suspect = GaugeMetricFamily(
            "colocation_node_report_suspect",
            "1 while the last report is suspect: it contains something impossible; absent otherwise.",
            labels=["node", "suspicion"],
        )
        left_out = GaugeMetricFamily(
            "colocation_node_be_pods_left_out",
            "Best-effort pods that the agent cannot be sent, and that get no limits; absent otherwise.",
            labels=["node"],
        )
        for name, pods in self.left_out.copy().items():
            left_out.add_metric([name], pods)
        rows = self.rows.copy()
        for name, row in rows.items():
            for (unit, integers), amounts in zip(_UNITS.items(), _amounts(row), strict=True):
                for family, amount in zip(families[unit], amounts, strict=True):
                    if amount is not None:
                        family.add_metric([name], amount / integers)
            is_open.add_metric([name], row.evaluation.decision.gate is not None)
            withdrawn.add_metric([name, row.evaluation.withdrawal or ""], row.evaluation.withdrawal is not None)
            if row.reported is not None:
                reported.add_metric([name], row.reported)
            if (winner := row.evaluation.selection.winner) is not None:
                stale_after.add_metric([name], winner.spec.oversell.stale_after_seconds)
            if (at := self.published.get(name)) is not None:
                published.add_metric([name], at)
            for suspicion in row.report.suspicions:
                suspect.add_metric([name, suspicion], 1)
        return [
            *families["cpu_cores"],
            *families["memory_bytes"],
            is_open,
            withdrawn,
            reported,
            stale_after,
            published,
            suspect,
            left_out,
            *_by_namespace(row.sums.shares for row in rows.values() if row.sums is not None),
        ]


def _by_namespace(nodes: Iterable[Mapping[str, Share]]) -> list[GaugeMetricFamily]:
    """Who has and uses what all these nodes offer."""
    total: dict[str, Share] = {}
    for node in nodes:
        for namespace, share in node.items():
            total[namespace] = total.get(namespace, Share()) + share
    families = []
    for what, text in (
        ("allocated", "Requests of bound best-effort pods, by namespace."),
        ("used", "Use of best-effort pods over the last window, by namespace."),
    ):
        for unit, integers in _UNITS.items():
            family = GaugeMetricFamily(f"colocation_be_{what}_{unit}", text, labels=["namespace"])
            for namespace, share in total.items():
                cpu, memory = (share.cpu, share.memory) if what == "allocated" else (share.cpu_used, share.memory_used)
                amount = cpu if unit == "cpu_cores" else memory
                if amount is not None:
                    family.add_metric([namespace], amount / integers)
            families.append(family)
    return families


def _amounts(row: _NodeSeries) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
    """For cpu and memory, in the order of `_PER_RESOURCE`."""
    facts, evaluation, sums = row.facts, row.evaluation, row.sums
    status = row.report.status
    used, engine = (status.node, status.engine) if status else (None, None)
    return (
        (
            facts.cpu_capacity,
            sums.cpu.requested if sums and sums.strategies else None,
            used.cpu if used else None,
            facts.published.cpu or 0,
            evaluation.headroom_cpu,
            evaluation.allocated.cpu,
            engine.cpu_used if engine else None,
        ),
        (
            facts.memory_capacity,
            sums.memory.requested if sums and sums.strategies else None,
            used.memory if used else None,
            facts.published.memory or 0,
            evaluation.headroom_memory,
            evaluation.allocated.memory,
            engine.memory_used if engine else None,
        ),
    )
