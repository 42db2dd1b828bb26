"""What the manager counts. Per-node series: nine a labelled node, removed with it."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from colocation import __version__
from colocation.manager.state import NodeState

_FAST: Final = (0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


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
        self.writes = Counter("colocation_writes_total", "Writes by kind and outcome.", ["kind", "outcome"], registry=r)
        self.failures = Counter(
            "colocation_evaluation_failures_total", "Nodes that could not be evaluated.", registry=r
        )
        self.bad_objects = Counter(
            "colocation_bad_objects_total", "Objects that could not be read.", ["resource"], registry=r
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
        of = ["node", "resource"]
        self._published = Gauge("colocation_node_oversold", "Published be-*: millicores or bytes.", of, registry=r)
        self._room = Gauge("colocation_node_room", "Smallest result of the grow window.", of, registry=r)
        self._promised = Gauge("colocation_node_promised", "What bound BE pods asked for.", of, registry=r)
        self._open = Gauge("colocation_node_open", "1 while new BE pods may come.", ["node"], registry=r)
        self._withdrawn = Gauge("colocation_node_withdrawn", "1 while the node sells nothing.", ["node"], registry=r)
        self._reported = Gauge(
            "colocation_node_report_timestamp_seconds",
            "When the last report arrived (Unix time).",
            ["node"],
            registry=r,
        )
        self._known: set[str] = set()

    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """One API request (the hook of `colocation.kube.rest`)."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._latency.labels(verb, resource).observe(seconds)

    def node(self, node: NodeState, now: float) -> None:
        """One node's evaluation; ``now`` is the manager's clock."""
        made, facts = node.evaluation, node.facts
        if made is None or facts is None or (not facts.takes_part and facts.published.absent):
            self.forget(node.name)
            return
        name = node.name
        self._known.add(name)
        for resource, room, promised, published in (
            ("cpu", made.room_cpu, made.owed.cpu, facts.published.cpu),
            ("memory", made.room_memory, made.owed.memory, facts.published.memory),
        ):
            self._published.labels(name, resource).set(published or 0)
            self._room.labels(name, resource).set(room)
            self._promised.labels(name, resource).set(promised)
        self._open.labels(name).set(made.decision.gate is not None)
        self._withdrawn.labels(name).set(made.withdraw is not None)
        if node.report.arrived is not None:
            self._reported.labels(name).set(time.time() - (now - node.report.arrived))

    def forget(self, name: str) -> None:
        """The node is gone, or none of ours."""
        if name not in self._known:
            return
        self._known.discard(name)
        for gauge in (self._published, self._room, self._promised):
            for resource in ("cpu", "memory"):
                gauge.remove(name, resource)
        self._open.remove(name)
        self._withdrawn.remove(name)
        with contextlib.suppress(KeyError):  # it never reported
            self._reported.remove(name)
